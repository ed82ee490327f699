"""Grids that several tables share: variants by tasks, for some models and teachers."""

from collections.abc import Iterable, Sequence
from typing import Any

from distill.studies.study import ALIGNER_ROW, LOSSES, UNDISTILLED, Cell, Key

STABLE_DIFFUSION, MIDJOURNEY = "stable-diffusion-v1-4", "midjourney"
METRICS = {"CoLA": "mcc", "STS-B": "pearson"}
SMALL_TASKS = ("CoLA", "MRPC", "RTE", "STS-B", "CB", "COPA", "BoolQ", "WiC")
LARGE_TASKS = ("MNLI", "QNLI", "QQP", "SST-2")
GLUE_TASKS = ("CoLA", "MNLI", "MRPC", "QNLI", "QQP", "RTE", "SST-2", "STS-B")
REASONING_TASKS = (
    "HellaSwag", "WinoGrande", "ARC-c", "ARC-e", "OpenBookQA", "MultiArith", "SingleEq", "AQuA",
)  # fmt: skip
INSTRUCTION_TASKS = ("Dolly", "SNI", "SelfInst", "UNI", "Vicuna")
ROUGE = "rouge_l"


def metric_of(task: str) -> str:
    """The metric by which the paper reports a task."""
    if task in INSTRUCTION_TASKS:
        return ROUGE
    return METRICS.get(task, "accuracy")


def undistilled(models: Iterable[str], tasks: Sequence[str]) -> tuple[Cell, ...]:
    """The students alone."""
    return tuple(
        Cell(key=Key(model, "", UNDISTILLED, task, metric_of(task)), options=(("method", UNDISTILLED),))
        for model in models
        for task in tasks
    )


def losses(
    models: Iterable[str], teacher: str, tasks: Sequence[str], *, suffix: str = "", **options: Any
) -> tuple[Cell, ...]:
    """A row for each of the three manifold losses.

    Args:
        models: that are trained.
        teacher: that they learn from.
        tasks: columns.
        suffix: of the variant, such as `/shuffled-teacher`.
        options: of `distill`, beside the loss.
    """
    return tuple(
        distilled(model, teacher, f"{loss}{suffix}", task, manifold=loss, **options)
        for model in models
        for loss in LOSSES
        for task in tasks
    )


def distilled(
    model: str, teacher: str, variant: str, task: str, *, head: str = "student", **options: Any
) -> Cell:
    """One number of an ARMADA student."""
    key = Key(model, teacher, variant, task, metric_of(task))
    return Cell(key=key, options=tuple(sorted(options.items())), head=head)


def aligner(
    variant: str, teacher: str, student: str, tasks: Sequence[str], *, head: str = "aligner", **options: Any
) -> tuple[Cell, ...]:
    """The aligner itself, read off the run of a student.

    It learns from labels alone, so all students and losses of one seed have the same; the euclid run is read.

    Args:
        variant: of the row.
        teacher: that it reads.
        student: that was trained beside it.
        tasks: columns.
        head: `aligner` or `aligner_aux`.
        options: of `distill`, beside the loss.
    """
    settings = tuple(sorted({"manifold": "euclid", **options}.items()))
    return tuple(
        Cell(
            key=Key(ALIGNER_ROW, teacher, variant, task, metric_of(task)),
            options=settings,
            head=head,
            student=student,
        )
        for task in tasks
    )
