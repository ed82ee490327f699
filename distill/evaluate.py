"""What the towers answer for the rows of a stream.

Letters: R rows kept by the stream, C outputs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from distill.hardware import enough_memory
from distill.metrics import measure
from distill.order import EVALUATION_PASS
from distill.shards import Stream
from distill.view import View


@dataclass(frozen=True, slots=True)
class Outputs:
    """Answers in the order of the split.

    Attributes:
        rows: of the split, int64, (R,).
        heads: `student`, `student_aux`, `aligner`, `aligner_aux` to outputs, float32, (R, C).
    """

    rows: NDArray[np.int64]
    heads: dict[str, NDArray[np.float32]]


@torch.no_grad()
def answer(stream: Stream, student: nn.Module, aligner: nn.Module | None = None) -> Outputs:
    """Ask the towers, in evaluation mode and in the precision of the context.

    Args:
        stream: of the rows; where processes take its batches in turn, this is collective.
        student: asked with texts.
        aligner: asked with representations; None where its answers are not wanted.
    """
    student.eval()
    rows, heads = [], {}
    for batch in stream.batches(0, EVALUATION_PASS):
        num_rows, width = batch.tokens["input_ids"].shape
        with enough_memory(num_rows, width, "measuring"):
            views = {"student": student(**batch.tokens)}
            if aligner is not None:
                views["aligner"] = aligner.eval()(batch.teacher_repr_BD)
        rows.append(batch.rows_B)
        for name, outputs in _heads(views):
            heads.setdefault(name, []).append(outputs)
    # Where processes took batches in turn, each gets what all have.
    everyone = stream.takers.gathered((rows, heads))
    places = np.concatenate([one for rows, _ in everyone for one in rows])
    order = np.argsort(places)
    names = next(heads for _, heads in everyone if heads)
    joined = {name: [one for _, heads in everyone for one in heads.get(name, ())] for name in names}
    return Outputs(places[order], {name: np.concatenate(parts)[order] for name, parts in joined.items()})


def _heads(views: dict[str, View]) -> list[tuple[str, NDArray[np.float32]]]:
    both = [
        (f"{tower}{suffix}", outputs)
        for tower, view in views.items()
        for suffix, outputs in (("", view.logits_BC), ("_aux", view.aux_logits_BC))
    ]
    return [(name, outputs.float().cpu().numpy()) for name, outputs in both if outputs is not None]


def measured(stream: Stream, outputs: Outputs) -> dict[str, dict[str, float]]:
    """Every metric of every head; of each of the task's parts too, as `accuracy/matched`."""
    parts = stream.split.parts(outputs.rows)
    labels = stream.labels[outputs.rows]

    def of_head(values_RC: NDArray[np.floating]) -> dict[str, float]:
        found = measure(stream.split.task, labels, values_RC)
        for part, rows_R in parts.items():
            own = measure(stream.split.task, labels[rows_R], values_RC[rows_R])
            found |= {f"{name}/{part}": value for name, value in own.items()}
        return found

    return {name: of_head(values) for name, values in outputs.heads.items()}
