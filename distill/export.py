"""What a finished run leaves for others: a plain student, the aligner's weights, the predictions."""

import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import save as as_safetensors
from torch import Tensor, nn

from distill.adapter import BASE_KEY, CONFIG_NAME, save
from distill.evaluate import Outputs
from distill.metrics import predictions, probabilities
from distill.pooling import is_adapted
from distill.pretrained import quiet
from distill.shards import Stream
from schemas.files import whole_file, write_text
from schemas.result import RunResult
from schemas.tasks import LabelKind, find_task

STUDENT_FOLDER, MERGED_FOLDER = "student", "merged"
ALIGNER_NAME, PREDICTIONS_NAME = "aligner.safetensors", "predictions.parquet"


def export_student(
    folder: Path,
    backbone: Any,
    tokenizer: Any,
    base: str = "",
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Write a folder that plain transformers opens, or peft where the student is in an adapter.

    Args:
        folder: to write.
        backbone: plain, or in an adapter.
        tokenizer: of the student.
        base: the student as it was given, which an adapter's folder names.
        weights: of the backbone by name, whole; None takes them from it.
    """
    with quiet(), disk_errors(folder):
        if is_adapted(backbone):
            save(backbone, folder, base, weights)
        else:
            backbone.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)
    # safetensors writes for its owner alone; whoever may read the folder may read all of it.
    for file in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", file)


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Make an OSError again of what safetensors, and tokenizers without a class for it, make of one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except Exception as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from None


def export_aligner(folder: Path, aligner: nn.Module) -> None:
    """Write the aligner's weights; nothing at inference needs them."""
    weights = {name: part.detach().cpu().contiguous() for name, part in aligner.state_dict().items()}
    with whole_file(folder / ALIGNER_NAME) as temporary:
        temporary.write_bytes(as_safetensors(weights))


def export_predictions(folder: Path, stream: Stream, outputs: Outputs) -> None:
    """Write what the student answers for each reported row, in the order of the split."""
    task, logits_RC = stream.split.task, outputs.heads["student"]
    chances = probabilities(task.label_kind, logits_RC)
    table = pa.table(
        {
            "example_id": stream.split.example_ids(outputs.rows),
            "label": _column(stream.labels[outputs.rows]),
            "predicted": _column(predictions(task, logits_RC)),
            "logits": _column(logits_RC),
            "probabilities": pa.nulls(len(logits_RC)) if chances is None else _column(chances),
        }
    )
    with whole_file(folder / PREDICTIONS_NAME) as temporary:
        pq.write_table(table, temporary)


def _column(values: np.ndarray) -> pa.Array:
    return pa.array(list(values) if values.ndim == 2 else values)


_PLAIN = """    from transformers import {kind}, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained("FOLDER")
    model = {kind}.from_pretrained("FOLDER")
"""
_ADAPTER = """    from peft import PeftModel
    from transformers import AutoConfig, {kind}, AutoTokenizer
    tokenizer, config = AutoTokenizer.from_pretrained("FOLDER"), AutoConfig.from_pretrained("FOLDER")
    base = {kind}.from_pretrained("{base}", config=config)
    model = PeftModel.from_pretrained(base, "FOLDER")
"""


# The class of transformers that loads a student, and what a hub calls its purpose; of one that writes second.
_KINDS = (
    ("AutoModelForSequenceClassification", "text-classification"),
    ("AutoModelForCausalLM", "text-generation"),
)


def write_card(folder: Path, result: RunResult) -> None:
    """Write the model card into a student's folder: what it learnt, from what, how well, how it is loaded."""
    names = list(result.metrics["student"])
    rows = "\n".join(
        f"| {head} | {' | '.join(f'{value:.3f}' for value in values.values())} |"
        for head, values in result.metrics.items()
        if list(values) == names
    )
    settings = "\n".join(
        f"    {name} = {value}" for name, value in result.config.items() if name != "student"
    )
    notes = "".join(f"\n- {note}" for note in result.notes)
    teacher = result.cache.teacher
    adapter = folder / CONFIG_NAME
    base = json.loads(adapter.read_bytes())[BASE_KEY] if adapter.exists() else None
    kind, purpose = _KINDS[find_task(result.config["task"]).label_kind is LabelKind.GENERATIVE]
    header = "library_name: transformers" if base is None else "library_name: peft"
    write_text(
        folder / "README.md",
        f"""---
{header}
pipeline_tag: {purpose}
---
# {result.config["task"]}, trained with `{result.config["method"]}`

A student of `{Path(result.config["student"]).name}`, trained by ARMADA-Distill on the teacher cache
`{result.cache.name}`: {result.cache.rows} rows, teacher `{teacher.backend}:{teacher.name}`, digest
`{result.cache.digest[:16]}`. It is an ordinary text model: neither teacher nor aligner is needed to use it.

{(_PLAIN if base is None else _ADAPTER).format(base=base, kind=kind)}
Measured by the protocol `{result.protocol}` on {result.num_rows["report"]} rows:

| answers | {" | ".join(names)} |
|---|{"---|" * len(names)}
{rows}
{notes}

Configuration `{result.config_hash[:8]}`:

{settings}
""",
    )
