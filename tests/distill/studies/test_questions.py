"""Statistics agree with the libraries of the field, and say so where there is nothing to test."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from distill.studies.comparison import gain_of
from distill.studies.derived import averages, baseline_of, best_of_losses, complete, mean_gain
from distill.studies.questions import (
    against_baseline,
    analysis_of_variance,
    gain_test,
    loss_of,
    variance_over,
    whole_against,
)
from distill.studies.study import AVERAGE, BEST, LOSSES, Key


def key(variant: str, task: str = "CoLA", model: str = "m", teacher: str = "t") -> Key:
    return Key(model, "" if variant == "undistilled" else teacher, variant, task, "accuracy")


RANDOM = np.random.default_rng(7)
VALUES = {
    key(variant, task): {seed: float(RANDOM.normal(70 + place, 3)) for seed in (1, 2, 3)}
    for task in ("CoLA", "RTE")
    for place, variant in enumerate(("undistilled", *LOSSES))
}


def test_the_t_test_is_scipys_paired_one_over_models_tasks_and_seeds() -> None:
    ours = [VALUES[key("euclid", task)][seed] for task in ("CoLA", "RTE") for seed in (1, 2, 3)]
    base = [VALUES[key("undistilled", task)][seed] for task in ("CoLA", "RTE") for seed in (1, 2, 3)]
    wanted = stats.ttest_rel(ours, base, alternative="greater")
    tested = gain_test([one - other for one, other in zip(ours, base, strict=True)])
    (said,) = dict(against_baseline(("euclid",))(VALUES)).values()

    assert tested is not None
    assert (tested.statistic, tested.p_value) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert said == str(tested)
    assert f"t = {wanted.statistic:.2f}, p = {wanted.pvalue:.2g}" in said
    assert "n = 6" in said


def test_the_interval_is_scipys_percentile_bootstrap_and_repeats() -> None:
    gains = RANDOM.normal(1, 1, 20)
    tested, again = gain_test(gains), gain_test(gains)
    wanted = stats.bootstrap((gains,), np.mean, n_resamples=2000, method="percentile", rng=0)

    assert tested is not None
    assert tested == again
    assert (tested.low, tested.high) == tuple(wanted.confidence_interval)
    assert tested.low < gains.mean() < tested.high


@pytest.mark.parametrize(("gains", "noise"), [([-1.0, 1.0, -2.0, 2.5], True), ([1.0, 1.5, 2.0, 1.2], False)])
def test_a_gain_inside_the_noise_says_so(gains: list[float], noise: bool) -> None:
    tested = gain_test(gains)

    assert tested is not None
    assert tested.is_noise == noise
    assert ("inside the noise" in str(tested)) == noise


def test_gains_without_spread_have_no_t_and_one_gain_has_no_test() -> None:
    assert "no t-test" in str(gain_test([1.0, 1.0, 1.0]))
    assert gain_test([1.0]) is None
    assert gain_test([]) is None


def test_the_analysis_of_variance_is_statsmodels_of_type_ii_with_blocks() -> None:
    rows = [
        {"gain": float(RANDOM.normal(place)), "block": task, "loss": loss, "teacher": teacher}
        for task in ("a", "b", "c")
        for place, loss in enumerate(LOSSES)
        for teacher in ("x", "y")
    ]
    table = anova_lm(ols("gain ~ C(loss) + C(teacher) + C(block)", pd.DataFrame(rows)).fit(), typ=2)
    said = analysis_of_variance(rows)

    assert said is not None
    for name in ("loss", "teacher"):
        statistic, p_value = table.loc[f"C({name})", ["F", "PR(>F)"]]
        assert f"{name} F = {statistic:.2f}, p = {p_value:.2g}" in said
    assert "n = 18" in said


def test_an_analysis_without_levels_rows_or_freedom_says_nothing() -> None:
    assert analysis_of_variance([]) is None
    assert analysis_of_variance([{"gain": 1.0, "block": "a", "loss": "x"}] * 4) is None
    both = [{"gain": 1.0, "block": "a", "loss": "x"}, {"gain": 2.0, "block": "a", "loss": "y"}]
    assert analysis_of_variance(both) is None
    assert variance_over("do they differ?", loss_of)({}) == []


def test_levels_that_the_blocks_decide_are_no_factor() -> None:
    half_run = [
        {"gain": float(RANDOM.normal()), "block": task, "loss": loss}
        for task, losses in (("a", ("x",)), ("b", ("y",)))
        for loss in losses * 3
    ]

    assert analysis_of_variance(half_run) is None


def test_what_a_control_takes_away_is_counted_from_the_whole() -> None:
    values = {
        key("euclid"): {1: 80.0, 2: 82.0, 3: 79.0},
        key("euclid/shuffled"): {1: 78.0, 2: 79.0, 3: 78.0},
    }
    (said,) = dict(whole_against("/shuffled")(values)).values()

    assert said.startswith("mean gain +2.00")


def test_a_baseline_is_the_same_models_and_rather_without_a_teacher() -> None:
    values = {
        key("undistilled"): {1: 70.0},
        key("SeqKD", teacher="large"): {1: 71.0},
        key("euclid"): {1: 73.0},
    }

    assert baseline_of(values, key("euclid")) == key("undistilled")
    assert baseline_of(values, key("euclid"), "SeqKD") == key("SeqKD", teacher="large")
    assert baseline_of(values, key("euclid", model="other")) is None
    assert mean_gain(values, key("euclid")) == 3.0
    assert mean_gain(values, key("undistilled")) is None


def test_the_gain_of_a_number_is_paired_by_seed_with_students_interval() -> None:
    gaps = [VALUES[key("cosine")][seed] - VALUES[key("undistilled")][seed] for seed in (1, 2, 3)]
    interval = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    gain = gain_of(VALUES, key("cosine"), "undistilled")

    assert gain is not None
    assert (gain.mean, gain.low, gain.high) == pytest.approx((np.mean(gaps), interval.low, interval.high))
    one = gain_of({name: {1: by_seed[1]} for name, by_seed in VALUES.items()}, key("cosine"), "undistilled")
    assert one is not None
    assert one.verdict == "one seed"


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ((71.0, 71.1, 70.9), "better"),
        ((69.0, 69.1, 68.9), "worse"),
        ((71.0, 69.0, 70.5), "noise"),
        ((71.0, 71.0, 71.0), "no spread"),
    ],
)
def test_a_gain_says_in_a_word_what_it_is(ours: tuple[float, ...], verdict: str) -> None:
    values = {key("cosine"): dict(enumerate(ours)), key("undistilled"): dict.fromkeys(range(3), 70.0)}
    gain = gain_of(values, key("cosine"), "undistilled")

    assert gain is not None
    assert gain.verdict == verdict


def test_the_best_of_three_is_chosen_by_the_mean_and_keeps_its_seeds() -> None:
    values = {
        key("cosine"): {1: 1.0, 2: 9.0},
        key("euclid"): {1: 6.0, 2: 6.0},
        key("elementwise"): {1: 2.0, 2: 3.0},
    }

    assert best_of_losses()(values) == {key(BEST): {1: 6.0, 2: 6.0}}


def test_an_average_wants_every_task_and_is_made_by_seed() -> None:
    values = {
        key("cosine", "a"): {1: 1.0, 2: 3.0},
        key("cosine", "b"): {1: 3.0, 2: 5.0},
        key("euclid", "a"): {1: 1.0},
    }
    whole = complete(values, [averages])
    made = {one.variant: by_seed for one, by_seed in whole.items() if one.task == AVERAGE}

    assert made == {"cosine": {1: 2.0, 2: 4.0}}
