"""Questions to the paper's numbers and to ours alike: t-tests, bootstraps, analyses of variance.

Of the paper only means are printed, so a pair is a model and a task there; of ours it is a model, a task and
a seed.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from distill.studies.derived import baseline_of
from distill.studies.study import AVERAGE, LOSSES, UNDISTILLED, Key, Question, Values

LEVEL = 0.05
_RESAMPLES = 2000
# Numbers are printed to a tenth: what differs by less than rounding makes of it does not differ.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class GainTest:
    """Whether gains are above zero.

    Attributes:
        mean: of the gains.
        statistic: of Student's t-test; NaN where the gains do not differ among themselves.
        p_value: one-sided; NaN likewise.
        low: end of the mean's 95 % bootstrap interval.
        high: its other end.
        count: of gains.
    """

    mean: float
    statistic: float
    p_value: float
    low: float
    high: float
    count: int

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds zero."""
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        verdict = "; inside the noise" if self.is_noise else ""
        tested = (
            "all gains are equal, so no t-test"
            if math.isnan(self.p_value)
            else f"one-sided t = {self.statistic:.2f}, p = {self.p_value:.2g}"
        )
        interval = f"95 % bootstrap interval {self.low:+.2f} to {self.high:+.2f}"
        return f"mean gain {self.mean:+.2f}, {tested}, {interval}, n = {self.count}{verdict}"


def gain_test(gains_N: Sequence[float]) -> GainTest | None:
    """Test whether paired gains are above zero; None for fewer than two.

    Of differences, the test of one sample is the paired t-test; the interval is the percentile bootstrap's.

    Args:
        gains_N: one a pair.
    """
    import numpy as np
    from scipy.stats import bootstrap, ttest_1samp

    if len(gains_N) < 2:
        return None
    mean = fmean(gains_N)
    if max(gains_N) - min(gains_N) < _SAME:
        return GainTest(mean, math.nan, math.nan, mean, mean, len(gains_N))
    tested: Any = ttest_1samp(gains_N, 0, alternative="greater")
    around = bootstrap((np.asarray(gains_N),), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=0)
    ends = around.confidence_interval
    return GainTest(
        mean, float(tested.statistic), float(tested.pvalue), float(ends.low), float(ends.high), len(gains_N)
    )


def paired_gains(values: Values, baseline: str = UNDISTILLED) -> Iterator[tuple[Key, int, float]]:
    """Each number less its baseline of the same seed, averages left out."""
    for key in values:
        if key.variant != baseline and (other := baseline_of(values, key, baseline)):
            yield from _differences(values, key, other)


def _differences(values: Values, key: Key, other: Key) -> Iterator[tuple[Key, int, float]]:
    if key.task == AVERAGE:
        return
    ours, others = values[key], values[other]
    for seed in sorted(set(ours) & set(others)):
        yield key, seed, ours[seed] - others[seed]


def against_baseline(
    variants: Iterable[str] = LOSSES, *, teacher: str | None = None, baseline: str = UNDISTILLED
) -> Question:
    """Is a variant better than its baseline, over models, tasks and seeds?

    Args:
        variants: each is tested for itself, and all together.
        teacher: that counts; None takes all.
        baseline: variant that the gain is counted from.
    """
    asked = tuple(variants)

    def ask(values: Values) -> list[tuple[str, str]]:
        found: dict[str, list[float]] = {name: [] for name in asked}
        for key, _, gain in paired_gains(values, baseline):
            if key.variant in found and teacher in (None, key.teacher):
                found[key.variant].append(gain)
        return _answers(found, f"against {baseline}")

    return ask


def whole_against(suffix: str, *, whole: str = "") -> Question:
    """Is what was taken away missed: is the variant without a suffix better than the one with it?

    Args:
        suffix: of the variants, such as `/shuffled-teacher`.
        whole: name of the variant without it; "" takes the name less the suffix.
    """

    def ask(values: Values) -> list[tuple[str, str]]:
        found: dict[str, list[float]] = {}
        for key in values:
            other = replace(key, variant=whole or key.variant.removesuffix(suffix))
            if key.variant.endswith(suffix) and other != key and other in values:
                gains = found.setdefault(other.variant, [])
                gains.extend(gain for _, _, gain in _differences(values, other, key))
        return _answers(found, f"against the same with {suffix.removeprefix('/')}")

    return ask


def _answers(found: Mapping[str, Sequence[float]], than: str) -> list[tuple[str, str]]:
    answers = [(f"{name} {than}", gain_test(gains)) for name, gains in found.items()]
    if len(found) > 1:
        together = [gain for gains in found.values() for gain in gains]
        answers.append((f"all of these {than}", gain_test(together)))
    return [(what, str(answer)) for what, answer in answers if answer is not None]


def medians(values: Values) -> list[tuple[str, str]]:
    """Median and mean gain under each loss."""
    found: dict[str, list[float]] = {}
    for key, _, gain in paired_gains(values):
        found.setdefault(key.variant, []).append(gain)
    said = [
        f"{loss} median {median(found[loss]):+.2f}, mean {fmean(found[loss]):+.2f}"
        for loss in LOSSES
        if loss in found
    ]
    return [("gain under each loss", "; ".join(said))] if said else []


def variance_over(
    what: str, factors: Callable[[Key], dict[str, str] | None], *, baseline: str = UNDISTILLED
) -> Question:
    """Do gains differ over some factors, models and tasks taken out as blocks?

    Type II sums of squares of an additive model.

    Args:
        what: is asked, in words.
        factors: levels of a number by factor; None where it does not count.
        baseline: variant that the gain is counted from.
    """

    def ask(values: Values) -> list[tuple[str, str]]:
        rows = [
            {"gain": gain, "block": f"{key.model} {key.task}", **levels}
            for key, _, gain in paired_gains(values, baseline)
            if (levels := factors(key)) is not None
        ]
        answer = analysis_of_variance(rows)
        return [(what, answer)] if answer else []

    return ask


def analysis_of_variance(rows: Sequence[dict[str, float | str]]) -> str | None:
    """F and p of each factor.

    None where no factor has two levels, the levels of one follow from the rest, or no freedom is left for an
    error.

    Args:
        rows: `gain`, `block`, and the level of each factor.
    """
    import numpy as np
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    if not rows:
        return None
    names = [name for name in rows[0] if name not in ("gain", "block")]
    factors = [name for name in names if len({row[name] for row in rows}) > 1]
    blocks = len({row["block"] for row in rows})
    levels = sum(len({row[name] for row in rows}) - 1 for name in factors)
    spread = max(row["gain"] for row in rows) - min(row["gain"] for row in rows)  # type: ignore[operator]
    if not factors or len(rows) <= blocks + levels or spread < _SAME:
        return None
    terms = [f"C({name})" for name in factors] + (["C(block)"] if blocks > 1 else [])
    model: Any = ols(f"gain ~ {' + '.join(terms)}", pd.DataFrame(rows))
    if np.linalg.matrix_rank(model.exog) < model.exog.shape[1]:
        # Of a grid that is half run: some levels stand only where a block or another factor stands alone.
        return None
    table = anova_lm(model.fit(), typ=2)
    parts = [
        f"{name} F = {table.loc[f'C({name})', 'F']:.2f}, p = {table.loc[f'C({name})', 'PR(>F)']:.2g}"
        for name in factors
    ]
    means = [f"{name} {level} {mean:+.2f}" for name in factors for level, mean in _means(rows, name)]
    return f"{'; '.join(parts)} (n = {len(rows)}; mean gains: {', '.join(means)})"


def _means(rows: Sequence[dict[str, float | str]], name: str) -> list[tuple[str, float]]:
    levels = dict.fromkeys(str(row[name]) for row in rows)
    return [(level, fmean(float(row["gain"]) for row in rows if row[name] == level)) for level in levels]


def loss_of(key: Key) -> dict[str, str] | None:
    """The manifold loss as a factor."""
    return {"loss": key.variant} if key.variant in LOSSES else None


def teacher_of(key: Key) -> dict[str, str] | None:
    """The teacher as a factor."""
    return {"teacher": key.teacher, "loss": key.variant} if key.variant in LOSSES else None
