"""Turn a GGUF file into a folder that transformers loads: `convert_gguf.py FILE` writes beside the file.

Run by fetch.py in a process of its own, because it needs torch and transformers and fetch.py does not.
"""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"


def convert(file: Path) -> None:
    """Write config, weights in bfloat16 (the original's own type) and tokenizer into the file's folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = file.parent
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=file.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),  # blocks left packed cannot be saved
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes files that only the owner reads


def main() -> int:
    """Convert the named file; 1 with one line on stderr where that fails."""
    file = Path(sys.argv[1])
    try:
        convert(file)
    except Exception as error:  # noqa: BLE001  a damaged file fails in as many ways as there are readers
        print(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
