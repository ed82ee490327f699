"""What of a run hangs on the kind of its task's labels, one row a kind; the trainer reads the row."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from distill import classifying, writing
from distill.answer_material import gather_answers, stream_of_prompts
from distill.classifying import Learners
from distill.config import RunConfig
from distill.material import Material, gather, stream_of
from distill.pretrained import load_with_fresh
from distill.respondent import Respondent, Rows
from distill.split import Split
from distill.student import Student
from distill.writer import Writer, load_writer
from schemas.manifest import CacheManifest
from schemas.tasks import LabelKind, TaskSpec, find_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Discipline:
    """How a kind of task is learnt.

    Attributes:
        plain: the plain student of a folder, and the names of its modules that were drawn and not loaded.
        student: a plain student, or one in an adapter, without what it distils with.
        stream: the rows of a split that can be measured on.
        respond: what a student answers for rows of a file.
        load: the plain student of a run, which fits the cache, and the names of its modules that were drawn
            and not loaded.
        gather: the rows of a run.
        learners: module, objective and learning rate of each tower.
        measure: metrics of the student on a stream, by which the checkpoint is chosen.
        report: metrics of all who answer on the reported rows; writes the predictions.
    """

    plain: Callable[[str, TaskSpec], tuple[Any, tuple[str, ...]]]
    student: Callable[[Any], nn.Module]
    stream: Callable[[Split, RunConfig, Any, torch.device], Any]
    respond: Callable[[Respondent, Rows, int], pa.Table]
    load: Callable[[RunConfig, CacheManifest], tuple[Any, tuple[str, ...]]]
    gather: Callable[..., Material]
    learners: Callable[[RunConfig, TaskSpec, Any, int | None], Learners]
    measure: Callable[[RunConfig, Any, Any, nn.Module], dict[str, float]]
    report: Callable[[RunConfig, Any, Material, dict[str, nn.Module], Path], dict[str, dict[str, float]]]


def _load_classifier(run: RunConfig, manifest: CacheManifest) -> tuple[Any, tuple[str, ...]]:
    return load_with_fresh(run.student, find_task(manifest.request.task))


def _load_plain_writer(student: str, task: TaskSpec) -> tuple[Any, tuple[str, ...]]:
    del task
    return load_writer(student), ()


CLASSIFYING = Discipline(
    plain=load_with_fresh,
    student=Student,
    stream=stream_of,
    respond=classifying.respond,
    load=_load_classifier,
    gather=gather,
    learners=classifying.learners,
    measure=classifying.measure_student,
    report=classifying.report,
)
WRITING = Discipline(
    plain=_load_plain_writer,
    student=Writer,
    stream=stream_of_prompts,
    respond=writing.respond,
    load=writing.load,
    gather=gather_answers,
    learners=writing.learners,
    measure=writing.measure_student,
    report=writing.report,
)
DISCIPLINES: dict[LabelKind, Discipline] = {
    LabelKind.SINGLE: CLASSIFYING,
    LabelKind.MULTI: CLASSIFYING,
    LabelKind.REGRESSION: CLASSIFYING,
    LabelKind.GENERATIVE: WRITING,
}
