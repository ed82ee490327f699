"""Metrics, one row each, from labels and a tower's outputs.

Letters: R rows, C outputs (classes, or 1 for regression).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from schemas.tasks import LabelKind, TaskSpec

Array = NDArray[np.generic]


def _accuracy(labels: Array, predicted: Array) -> float:
    from sklearn.metrics import accuracy_score

    return accuracy_score(labels, predicted)


def _macro_f1(labels: Array, predicted: Array) -> float:
    from sklearn.metrics import f1_score

    return f1_score(labels, predicted, average="macro", zero_division=0.0)  # pyright: ignore[reportArgumentType]


def _micro_f1(labels: Array, predicted: Array) -> float:
    from sklearn.metrics import f1_score

    return f1_score(labels, predicted, average="micro", zero_division=0.0)  # pyright: ignore[reportArgumentType]


def _matthews(labels: Array, predicted: Array) -> float:
    from sklearn.metrics import matthews_corrcoef

    # One class in both is sklearn's 0, but it warns, and takes no list of labels that would silence it.
    if len(np.union1d(labels, predicted)) < 2:
        return 0.0
    return matthews_corrcoef(labels, predicted)


def _pearson(labels: Array, predicted: Array) -> float:
    return _correlation("pearsonr", labels, predicted)


def _spearman(labels: Array, predicted: Array) -> float:
    return _correlation("spearmanr", labels, predicted)


# Of float32, in which students answer, with a few steps of it to spare.
_ROUNDING = 1e-5


def _correlation(name: str, labels: Array, predicted: Array) -> float:
    from scipy import stats

    # A constant has no correlation; 0 says that it tells nothing, where scipy would warn and give nan, or, of
    # one that differs by rounding alone, a number without meaning.
    if len(labels) < 2 or any(np.ptp(one) <= _ROUNDING * np.abs(one).max() for one in (labels, predicted)):
        return 0.0
    return getattr(stats, name)(labels, predicted).statistic


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "micro_f1": _micro_f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
METRICS_OF_KIND: dict[LabelKind, tuple[str, ...]] = {
    LabelKind.SINGLE: ("accuracy", "macro_f1", "matthews"),
    LabelKind.MULTI: ("micro_f1", "macro_f1", "accuracy"),
    LabelKind.REGRESSION: ("pearson", "spearman"),
}


def predictions(task: TaskSpec, outputs_RC: NDArray[np.floating]) -> Array:
    """What a tower answers.

    A class id (R,); a yes or no for each class (R, C), yes where its probability is above a half; or a number
    (R,), clipped to the task's range.
    """
    if task.label_kind is LabelKind.SINGLE:
        return outputs_RC.argmax(axis=1)
    if task.label_kind is LabelKind.MULTI:
        return (outputs_RC > 0).astype(np.int64)
    return outputs_RC[:, 0] if task.value_range is None else outputs_RC[:, 0].clip(*task.value_range)


def probabilities(kind: LabelKind, outputs_RC: NDArray[np.floating]) -> NDArray[np.floating] | None:
    """Probability of each class (R, C); None for regression."""
    from scipy import special

    if kind is LabelKind.SINGLE:
        return special.softmax(outputs_RC, axis=1)
    return special.expit(outputs_RC) if kind is LabelKind.MULTI else None


def measure(task: TaskSpec, labels: Array, outputs_RC: NDArray[np.floating]) -> dict[str, float]:
    """Every metric of the task's label kind, by name."""
    predicted = predictions(task, outputs_RC)
    return {name: float(METRICS[name](labels, predicted)) for name in METRICS_OF_KIND[task.label_kind]}


def majority_outputs(
    kind: LabelKind, train_labels: Array, num_rows: int, num_outputs: int
) -> NDArray[np.floating]:
    """What a guesser answers that knows only the training labels: the commonest class, or the mean."""
    if kind is LabelKind.REGRESSION:
        return np.full((num_rows, 1), train_labels.mean())
    if kind is LabelKind.MULTI:
        return np.tile(train_labels.mean(axis=0) - 0.5, (num_rows, 1))
    counts = np.bincount(train_labels.astype(np.int64), minlength=num_outputs)
    return np.tile(np.eye(num_outputs)[counts.argmax()], (num_rows, 1))
