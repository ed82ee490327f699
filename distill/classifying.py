"""The discipline of tasks with labels: a sequence classifier, measured by its outputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from distill.aligner import TSAligner, dims_of
from distill.config import RunConfig
from distill.encoding import encode, filled
from distill.evaluate import answer, measured
from distill.export import export_predictions
from distill.losses.labelled import aligner_objective, student_objective, undistilled_objective
from distill.losses.objective import Objective
from distill.material import Material
from distill.metrics import majority_outputs, predictions, probabilities
from distill.respondent import Respondent, Rows, ids_of
from distill.schedules import ALIGNER, STUDENT
from distill.shards import Stream
from distill.student import Student
from schemas.tasks import LabelKind, TaskSpec

Learners = dict[str, tuple[nn.Module, Objective, float]]


def learners(run: RunConfig, task: TaskSpec, backbone: Any, width: int | None) -> Learners:
    """Module, objective and learning rate of each tower.

    Args:
        run: its configuration.
        task: that labels are of.
        backbone: of the student.
        width: of the teacher's representation; None without one.
    """
    how = run.distillation
    if how is None:
        return {STUDENT: (Student(backbone), undistilled_objective(task), run.lr)}
    assert width is not None, "gather refuses a cache without representations"
    dims = dims_of(how, width, task.num_outputs)
    # The aligner is drawn first: what the student has beside its backbone does not change it. A head that
    # nothing reads is left out, since its dropout would draw from what the others draw.
    aligner = TSAligner(dims, how.aligner, auxiliary=how.gamma > 0)
    student = Student(backbone, dims.manifold, how.aligner, auxiliary=how.gamma > 0)
    return {
        ALIGNER: (aligner, aligner_objective(task, how), how.aligner_lr),
        STUDENT: (student, student_objective(task, how), run.lr),
    }


def measure_student(run: RunConfig, tokenizer: Any, stream: Stream, student: nn.Module) -> dict[str, float]:
    """Every metric of the student's outputs."""
    del run, tokenizer
    return measured(stream, answer(stream, student))["student"]


def report(
    run: RunConfig,
    tokenizer: Any,
    material: Material,
    towers: dict[str, nn.Module],
    folder: Path,
) -> dict[str, dict[str, float]]:
    """Measure both towers and a guesser on the reported rows, and write the student's predictions."""
    del run, tokenizer
    stream, aligner = material.report, towers.get(ALIGNER)
    assert isinstance(stream, Stream)
    outputs = answer(stream, towers[STUDENT], aligner if material.reports_aligner else None)
    task = stream.split.task
    guess = majority_outputs(task.label_kind, material.train_labels, len(outputs.rows), task.num_outputs)
    metrics = measured(stream, outputs)
    metrics |= measured(stream, replace(outputs, heads={"majority": guess}))
    if stream.takers.is_main:
        export_predictions(folder, stream, outputs)
    return metrics


@torch.no_grad()
def respond(who: Respondent, rows: Rows, done: int) -> pa.Table:
    """What a classifier answers for rows of a file.

    Args:
        who: answers.
        rows: with the task's fields as columns.
        done: rows of the file before them.

    Raises:
        SourceError: a row lacks a column.
    """
    task, student = who.task, who.student
    columns = {name: who.column(rows, name, done) for name in task.student_fields}
    texts = filled(task.student_templates, columns)
    encoded = encode(who.tokenizer, texts, who.run.max_length).columns
    tokens = who.tokenizer.pad(encoded, return_tensors="pt").to(next(student.parameters()).device)
    logits_BC = student(**tokens).logits_BC.float().cpu().numpy()
    predicted, chances = predictions(task, logits_BC), probabilities(task.label_kind, logits_BC)
    answers: dict[str, Any] = {
        "example_id": ids_of(rows, done),
        "predicted": list(predicted) if predicted.ndim == 2 else predicted,
        "logits": list(logits_BC),
    }
    if task.label_kind is LabelKind.SINGLE:
        answers["class"] = [task.classes[index] for index in predicted]
    if task.label_kind is LabelKind.MULTI:
        named = [[task.classes[index] for index in row.nonzero()[0]] for row in predicted]
        answers["classes"] = pa.array(named, pa.list_(pa.string()))
    if chances is not None:
        answers["probabilities"] = list(chances)
    return pa.table(answers)
