"""What a finished run leaves for others: a plain student, the aligner's weights, the predictions."""

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
from safetensors.torch import save
from torch import nn

from distill.evaluate import Outputs
from distill.metrics import predictions, probabilities
from distill.shards import Stream
from distill.student import quiet
from schemas.files import whole_file, write_text
from schemas.result import RunResult

STUDENT_FOLDER, ALIGNER_NAME, PREDICTIONS_NAME = "student", "aligner.safetensors", "predictions.parquet"


def export_student(folder: Path, backbone: Any, tokenizer: Any) -> None:
    """Write a folder that plain transformers opens."""
    student = folder / STUDENT_FOLDER
    with quiet(), disk_errors(student):
        backbone.save_pretrained(student)
        tokenizer.save_pretrained(student)
    # safetensors writes for its owner alone; whoever may read the folder may read all of it.
    for weights in student.glob("*.safetensors"):
        shutil.copymode(student / "config.json", weights)


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
        temporary.write_bytes(save(weights))


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


def write_card(folder: Path, result: RunResult) -> None:
    """Write the model card: what the student learnt, from what, and how well."""
    rows = "\n".join(
        f"| {head} | {' | '.join(f'{value:.3f}' for value in values.values())} |"
        for head, values in result.metrics.items()
    )
    names = list(result.metrics["student"])
    settings = "\n".join(
        f"    {name} = {value}" for name, value in result.config.items() if name != "student"
    )
    notes = "".join(f"\n- {note}" for note in result.notes)
    teacher = result.cache.teacher
    write_text(
        folder / STUDENT_FOLDER / "README.md",
        f"""---
library_name: transformers
pipeline_tag: text-classification
---
# {result.config["task"]}, trained with `{result.config["method"]}`

A student of `{Path(result.config["student"]).name}`, trained by ARMADA-Distill on the teacher cache
`{result.cache.name}`: {result.cache.rows} rows, teacher `{teacher.backend}:{teacher.name}`, digest
`{result.cache.digest[:16]}`. It is an ordinary text model: neither teacher nor aligner is needed to use it.

    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained("FOLDER")
    model = AutoModelForSequenceClassification.from_pretrained("FOLDER")

Measured by the protocol `{result.protocol}` on {result.num_rows["report"]} rows:

| answers | {" | ".join(names)} |
|---|{"---|" * len(names)}
{rows}
{notes}

Configuration `{result.config_hash[:8]}`:

{settings}
""",
    )
