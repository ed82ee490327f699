"""Two runs on the same rows: whether one student is better than the other, or whether chance makes as much.

Letters: R rows that both answered.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from distill.metrics import METRICS
from distill.text_metrics import TEXT_METRICS
from schemas.errors import ResultError
from schemas.result import RunResult
from schemas.tasks import LabelKind, TaskSpec, find_task

PREDICTIONS_NAME = "predictions.parquet"
LEVEL = 0.05
_RESAMPLES = 2000
# What two runs must share to be twins, and what may differ between them unmentioned.
_SHARED = ("task", "student", "seed", "protocol", "limit_train", "max_length")
_OTHERWISE = ("method", "device")

Run = tuple[Path, RunResult]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a paired test came to.

    Attributes:
        test: its name.
        metric: that differs.
        difference: of the metric, ours minus the other's.
        low: end of the difference's 95 % interval.
        high: its other end.
        p_value: two-sided.
        rows: that both answered.
    """

    test: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    rows: int

    @property
    def is_noise(self) -> bool:
        """Whether chance alone makes such a difference more often than once in twenty."""
        return self.p_value >= LEVEL

    def __str__(self) -> str:
        verdict = ": noise" if self.is_noise else ""
        return (
            f"{self.metric} {self.difference:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f}), "
            f"{self.test}, {self.rows} rows, p = {self.p_value:.2g}{verdict}"
        )


def twin_of(run: Run, others: Iterable[Run]) -> Run | None:
    """The undistilled run on the same cache, student, seed and data; the likest where there are several."""
    folder, result = run
    if result.config["method"] == "undistilled":
        return None
    twins = [other for other in others if other[0] != folder and _are_twins(result, other[1])]
    return min(twins, key=lambda one: (len(differing(result, one[1])), str(one[0])), default=None)


def _are_twins(one: RunResult, other: RunResult) -> bool:
    return (
        other.config["method"] == "undistilled"
        and one.cache.digest == other.cache.digest
        and one.student_digest == other.student_digest
        and all(one.config.get(name) == other.config.get(name) for name in _SHARED)
    )


def differing(one: RunResult, twin: RunResult) -> list[str]:
    """Settings that both have and that differ, the method aside."""
    names = set(twin.config) - set(_OTHERWISE)
    return sorted(name for name in names if one.config.get(name) != twin.config[name])


def compare(run: Run, other: Run) -> Comparison | None:
    """Test two runs on the rows that both reported; None where one has left no predictions.

    McNemar's exact test of right and wrong answers, or a bootstrap of the correlations where the task is a
    regression.

    Raises:
        ResultError: predictions are cut short or damaged.
    """
    paths = [folder / PREDICTIONS_NAME for folder, _ in (run, other)]
    if not all(path.is_file() for path in paths):
        return None
    labels, ours, others = _joined(*paths)
    task = find_task(run[1].config["task"])
    if not len(labels):
        return None
    if task.label_kind is LabelKind.REGRESSION:
        return bootstrap(task.metric, labels, ours, others)
    if task.label_kind is LabelKind.GENERATIVE:
        return compare_texts(task, labels, ours, others)
    return mcnemar(_right(labels, ours), _right(labels, others))


def compare_texts(task: TaskSpec, references: Array, ours: Array, others: Array) -> Comparison:
    """Texts of two runs, by the metric of their task.

    McNemar's exact test where a text is right or wrong, else a bootstrap of the mean score.
    """
    score = TEXT_METRICS[task.metric]
    ours_R, others_R = (score(task, said.tolist(), references.tolist()) for said in (ours, others))
    if np.isin(np.concatenate([ours_R, others_R]), (0, 1)).all():
        return replace(mcnemar(ours_R == 1, others_R == 1), metric=task.metric)
    return bootstrap_of(task.metric, len(ours_R), lambda rows: ours_R[rows].mean() - others_R[rows].mean())


def _joined(ours: Path, others: Path) -> tuple[Array, Array, Array]:
    """Labels, our answers and the other's, rows joined by id."""
    left = _read(ours, ["example_id", "label", "predicted"])
    right = _read(others, ["example_id", "predicted"])
    places = {name: place for place, name in enumerate(right.column(0).to_pylist())}
    pairs = [(row, places.get(name)) for row, name in enumerate(left.column(0).to_pylist())]
    rows = [row for row, place in pairs if place is not None]
    found = [place for _, place in pairs if place is not None]
    values = [np.array(left.column(name).to_pylist())[rows] for name in ("label", "predicted")]
    return values[0], values[1], np.array(right.column(1).to_pylist())[found]


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(
            f"{path} is cut short or damaged ({error}); delete it and run the same distill command again"
        ) from None


def _right(labels: Array, predicted: Array) -> NDArray[np.bool_]:
    equal = labels == predicted
    return equal.all(axis=1) if equal.ndim == 2 else equal


def mcnemar(ours_R: NDArray[np.bool_], others_R: NDArray[np.bool_]) -> Comparison:
    """Accuracies of two runs: of the rows where one alone is right, is it ours about half of the time.

    Args:
        ours_R: where our answer is right.
        others_R: where the other's is.

    Source: McNemar, Psychometrika 12, 1947, exact; its interval: Agresti and Min, Statistics in Medicine 24,
    2005.
    """
    from scipy.stats import binomtest

    better, worse = int((ours_R & ~others_R).sum()), int((~ours_R & others_R).sum())
    rows = len(ours_R)
    p_value = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    middle = (better - worse) / (rows + 2)
    spread = 1.96 * math.sqrt((better + worse + 1) / (rows + 2) - middle**2) / math.sqrt(rows + 2)
    difference = (better - worse) / rows
    return Comparison(
        "McNemar's exact test", "accuracy", difference, middle - spread, middle + spread, p_value, rows
    )


def bootstrap(metric: str, labels_R: Array, ours_R: Array, others_R: Array) -> Comparison:
    """Any metric of two runs, over the same resampled rows.

    Args:
        metric: row of METRICS.
        labels_R: targets.
        ours_R: our answers.
        others_R: the other's.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, percentile interval.
    """
    measure: Callable[[Array, Array], float] = METRICS[metric]

    def gap(rows: Array) -> float:
        return measure(labels_R[rows], ours_R[rows]) - measure(labels_R[rows], others_R[rows])

    return bootstrap_of(metric, len(labels_R), gap)


def bootstrap_of(metric: str, count: int, gap: Callable[[Array], float]) -> Comparison:
    """The difference of two runs over resampled rows.

    Args:
        metric: that differs.
        count: of rows.
        gap: of the metric on some rows, which may stand there several times.
    """
    random = np.random.default_rng(0)
    gaps = np.array([gap(random.integers(count, size=count)) for _ in range(_RESAMPLES)])
    low, high = np.quantile(gaps, [0.025, 0.975])
    tail = (min((gaps <= 0).sum(), (gaps >= 0).sum()) + 1) / (_RESAMPLES + 1)
    return Comparison(
        "paired bootstrap",
        metric,
        float(gap(np.arange(count))),
        float(low),
        float(high),
        float(min(1.0, 2 * tail)),
        count,
    )
