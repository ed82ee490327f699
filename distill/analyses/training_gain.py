"""What training the aligner does to the student's own loss, beside an aligner that stays as it was drawn.

Letters: N steps of the student.
"""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.analyses.finished import Finished
from distill.trainer import METRICS_NAME
from schemas.errors import AnalysisError

_LOSS = "student/task"
Losses = dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True)
class Gain:
    """A paired t-test.

    Attributes:
        statistic: t; above 0 the student's task loss is lower beside a trained aligner.
        p_value: two-sided.
        difference: mean loss without minus with training of the aligner, in the loss's own unit.
        num_steps: N.
    """

    statistic: float
    p_value: float
    difference: float
    num_steps: int


def training_gain(trained: Finished, frozen: Finished) -> Gain:
    """Test the main-head task losses of two students, step by step.

    A step of one run and the same step of the other read the same batch, so they are paired. The steps of a
    run are no independent draws: the statistic is to compare with the paper's, and its p-value is too small.

    Args:
        trained: a run whose aligner is trained.
        frozen: the same run with `--schedule frozen`.

    Raises:
        AnalysisError: the runs differ in more, or left no task losses.

    Source: arXiv 2603.10877, Table 16 and Figure 10; that it is paired, and by step, is our reading.
    """
    _check(trained, frozen)
    return gain_of(_losses(frozen), _losses(trained), f"{trained.folder} and {frozen.folder}")


def gain_of(without: Losses, with_training: Losses, what: str) -> Gain:
    """The same from losses by epoch and step.

    Args:
        without: training of the aligner.
        with_training: of it.
        what: is said in the message.

    Raises:
        AnalysisError: the steps are not the same, fewer than two, or no loss differs.
    """
    from scipy.stats import ttest_rel

    if without.keys() != with_training.keys() or len(without) < 2:
        raise AnalysisError(
            f"{what}: {len(with_training)} and {len(without)} steps of the student, wanted the same, at "
            "least two; give runs with equal data, batch size and epochs"
        )
    gaps_N: NDArray[np.float64] = np.array([without[step] - with_training[step] for step in without])
    if np.ptp(gaps_N) == 0:
        raise AnalysisError(
            f"{what}: every step's losses differ by {gaps_N[0]:g}, so there is nothing to test"
        )
    found = ttest_rel(list(without.values()), [with_training[step] for step in without])
    return Gain(float(found.statistic), float(found.pvalue), float(gaps_N.mean()), len(gaps_N))


def _check(trained: Finished, frozen: Finished) -> None:
    ours, others = trained.result.config, frozen.result.config
    if others.get("schedule") != "frozen" or ours.get("schedule", "frozen") == "frozen":
        raise AnalysisError(
            f"{trained.folder} has schedule {ours.get('schedule')}, {frozen.folder} {others.get('schedule')}"
            "; wanted a run whose aligner is trained, then one of --schedule frozen"
        )
    others = {**_identity(frozen), "schedule": ours.get("schedule")}
    if names := sorted(name for name, value in _identity(trained).items() if value != others.get(name)):
        raise AnalysisError(
            f"{trained.folder} and {frozen.folder} differ in {', '.join(names)}; wanted the schedule alone"
        )


def _identity(finished: Finished) -> dict[str, object]:
    """All that decides a run's losses; what it computed on does not."""
    result = finished.result
    made_of = {"cache": result.cache.digest, "student": result.student_digest}
    return {**result.config, **made_of, "device": None}


def _losses(finished: Finished) -> Losses:
    with (finished.folder / METRICS_NAME).open(encoding="utf-8") as lines:
        read = [json.loads(line) for line in lines]
    found = {(line["epoch"], line["step"]): line[_LOSS] for line in read if _LOSS in line}
    if not found:
        raise AnalysisError(
            f"{finished.folder / METRICS_NAME} has no {_LOSS}, as with --alpha 1; give a run with a task loss"
        )
    return found
