"""Make a student of a model's first layers, as the paper's BERT-6L is BERT-base's first six.

    python data/first_layers.py data/models/minilm 3 data/models/minilm-3l

A folder that is there and whole is left alone.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any


def cut(source: Path, num_layers: int, target: Path) -> None:
    """Save the first layers of a model, with its embeddings, its head or pooler, and its tokenizer.

    Args:
        source: folder of the model.
        num_layers: to keep, from the first.
        target: folder to write, whole or not at all.

    Raises:
        SystemExit: the model has fewer layers, or keeps them where nobody looked.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(source, local_files_only=True)
    writes = any(name.endswith("ForCausalLM") for name in config.architectures or ())
    kind = AutoModelForCausalLM if writes else AutoModel
    model: Any = kind.from_pretrained(source, local_files_only=True, use_safetensors=True)
    holder, name = _layers_of(model)
    layers = getattr(holder, name)
    if not 1 <= num_layers <= len(layers):
        sys.exit(f"{source}: {len(layers)} layers, {num_layers} wanted; give 1 to {len(layers)}")
    setattr(holder, name, layers[:num_layers])
    model.config.num_hidden_layers = num_layers
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".first-layers-", dir=target.parent) as scratch:
        staged = Path(scratch) / target.name
        model.save_pretrained(staged)
        AutoTokenizer.from_pretrained(source, local_files_only=True).save_pretrained(staged)
        shutil.rmtree(target, ignore_errors=True)
        staged.rename(target)


def _layers_of(model: Any) -> tuple[Any, str]:
    """The module that holds the stack of layers, and the stack's name in it."""
    inner = getattr(model, "model", model)
    for holder, name in (
        (getattr(inner, "encoder", None), "layer"),
        (inner, "layers"),
        (getattr(inner, "decoder", None), "layers"),
    ):
        if hasattr(holder, name):
            return holder, name
    sys.exit(f"{type(model).__name__}: no stack of layers found; wanted one as BERT, LLaMA or OPT has it")


def main() -> int:
    """Read the arguments and cut."""
    parser = argparse.ArgumentParser(description="Make a student of a model's first layers.")
    parser.add_argument("source", type=Path, help="folder of the model")
    parser.add_argument("layers", type=int, help="number to keep")
    parser.add_argument("target", type=Path, help="folder to write")
    options = parser.parse_args()
    if not (options.target / "model.safetensors").exists():
        cut(options.source, options.layers, options.target)
    print(f"{options.target}: the first {options.layers} layers of {options.source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
