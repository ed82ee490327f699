"""How good the cached representations are before anything is trained: a linear probe with cross-validation.

Letters: R taught rows of the training split, d width of the representation.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.cache import TeacherCache, open_cache
from schemas.errors import CacheError
from schemas.rows import representations
from schemas.tasks import LabelKind, find_task

_SEED = 0


def probe(folder: Path, num_folds: int) -> dict[str, Any]:
    """Score a linear model from representation to label on held-out folds of the training split.

    Returns:
        Metric, mean and standard deviation over the folds, and what is reached without looking at the
        representation: the majority class, or for regression the mean.

    Raises:
        CacheError: the cache is not complete, has no representations, or its task has no single label.
    """
    cache = open_cache(folder)
    task = find_task(cache.manifest.request.task)
    if not cache.manifest.stores_repr:
        raise CacheError(f"{folder} stores no representations; make a cache with --store repr")
    if task.label_kind not in (LabelKind.SINGLE, LabelKind.REGRESSION):
        raise CacheError(
            f"{folder}: task {task.name} has no single class or value, so there is nothing to probe"
        )
    values_Rd, labels_R = _material(cache, task.label_kind)
    regression = task.label_kind is LabelKind.REGRESSION
    fewest = len(labels_R) if regression else min(np.unique(labels_R, return_counts=True)[1], default=0)
    if fewest < num_folds:
        raise CacheError(
            f"{folder}: {fewest} rows of the rarest label, {num_folds} folds want as many; cache more rows"
        )
    scores, baseline = _scores(values_Rd, labels_R, num_folds, regression=regression)
    return {
        "folder": str(folder),
        "task": task.name,
        "metric": "r2" if regression else "accuracy",
        "rows": len(labels_R),
        "folds": num_folds,
        "mean": float(np.mean(scores)),
        "sd": float(np.std(scores, ddof=1)),
        "baseline": float(np.mean(baseline)),
        "baseline_name": "mean" if regression else "majority class",
    }


def _material(cache: TeacherCache, kind: LabelKind) -> tuple[NDArray[np.float32], NDArray[Any]]:
    values: list[NDArray[np.float32]] = []
    labels: list[int | float | None] = []
    for _, shard in cache.shards("train"):
        with shard:
            table = shard.read(columns=["teacher_repr", "class_ids", "value"])
        values_Rd, present_R = representations(table["teacher_repr"])
        found = _labels(table, kind)
        wanted = [row for row, label in enumerate(found) if present_R[row] and label is not None]
        values.append(values_Rd[wanted].astype(np.float32))
        labels += [found[row] for row in wanted]
    return np.concatenate(values), np.array(labels)


def _labels(table: pa.Table, kind: LabelKind) -> list[int | float | None]:
    """A label a row, None where there is none."""
    if kind is LabelKind.REGRESSION:
        return table["value"].to_pylist()
    return [ids[0] if len(ids) == 1 else None for ids in table["class_ids"].to_pylist()]


def _scores(
    values_Rd: NDArray[np.float32], labels_R: NDArray[Any], num_folds: int, *, regression: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Strongly regularised: there are hundreds of values and often no more rows than a few thousand.
    model = Ridge(alpha=1000.0) if regression else LogisticRegression(C=0.01, max_iter=2000)
    constant = DummyRegressor() if regression else DummyClassifier()
    kind = KFold if regression else StratifiedKFold
    folds = kind(num_folds, shuffle=True, random_state=_SEED)
    probe_scores = cross_val_score(make_pipeline(StandardScaler(), model), values_Rd, labels_R, cv=folds)
    return probe_scores, cross_val_score(constant, values_Rd, labels_R, cv=folds)
