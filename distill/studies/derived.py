"""Numbers that are made of others: averages over tasks, the best of three losses, gains."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from statistics import fmean

from distill.studies.study import AVERAGE, BEST, LOSSES, UNDISTILLED, Key, Values


def averages(values: Values) -> Values:
    """Mean over tasks, for each row and seed that has all the tasks that its table has."""
    rows: dict[Key, dict[str, Mapping[int, float]]] = defaultdict(dict)
    for key, by_seed in values.items():
        if key.task != AVERAGE:
            rows[replace(key, task=AVERAGE, metric="average")][key.task] = by_seed
    widest = max((len(one) for one in rows.values()), default=0)
    return {
        key: mean_over(columns.values())
        for key, columns in rows.items()
        if len(columns) == widest and set.intersection(*(set(one) for one in columns.values()))
    }


def mean_over(columns: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Mean over some numbers, for each seed that all of them have."""
    kept = list(columns)
    seeds = sorted(set.intersection(*(set(one) for one in kept)))
    return {seed: fmean(one[seed] for one in kept) for seed in seeds}


def best_of_losses(label: str = BEST, suffix: str = "") -> Callable[[Values], Values]:
    """For each task the loss with the highest mean: no single run has such a row.

    Args:
        label: of the row.
        suffix: of the three variants.
    """
    names = [f"{loss}{suffix}" for loss in LOSSES]

    def derive(values: Values) -> Values:
        groups: dict[Key, list[Mapping[int, float]]] = defaultdict(list)
        for key, by_seed in values.items():
            if key.variant in names and by_seed:
                groups[replace(key, variant=label)].append(by_seed)
        return {key: dict(max(found, key=lambda one: fmean(one.values()))) for key, found in groups.items()}

    return derive


def baseline_of(values: Values, key: Key, baseline: str = UNDISTILLED) -> Key | None:
    """The same model's number that a gain is counted from; None where it is not there."""
    alike = [
        one
        for one in values
        if (one.model, one.variant, one.task, one.metric) == (key.model, baseline, key.task, key.metric)
    ]
    return min(alike, key=lambda one: (one.teacher not in ("", key.teacher), one.teacher), default=None)


def mean_gain(values: Values, key: Key, baseline: str = UNDISTILLED) -> float | None:
    """A number's mean less its baseline's; None where either is not there, or it is the baseline itself."""
    other = baseline_of(values, key, baseline)
    if key.variant == baseline or other is None or not values.get(key) or not values[other]:
        return None
    return fmean(values[key].values()) - fmean(values[other].values())


def complete(values: Values, derive: Iterable[Callable[[Values], Values]]) -> dict[Key, dict[int, float]]:
    """Values with what is derived of them; each derivation sees those before it."""
    whole = {key: dict(by_seed) for key, by_seed in values.items()}
    for derivation in derive:
        for key, by_seed in derivation(whole).items():
            whole.setdefault(key, dict(by_seed))
    return whole
