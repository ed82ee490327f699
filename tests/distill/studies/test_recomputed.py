"""The report, given the paper's own cells as results: what it derives and tests is what the cells support.

test_printed_numbers.py recomputes the same from the cells by themselves.
"""

from statistics import fmean

import pytest

from distill.studies import STUDIES
from distill.studies.collecting import Collected
from distill.studies.comparison import sheet_of
from distill.studies.derived import complete, mean_gain
from distill.studies.mini_profile import MINI
from distill.studies.paper_profile import PAPER
from distill.studies.printed import as_values, printed_of, printed_table
from distill.studies.sheet import Sheet
from distill.studies.study import AVERAGE, BEST, LOSSES


def report_of_own_cells(name: str) -> Sheet:
    """The report, given the paper's own cells as results: what it derives is left for it to derive."""
    study = STUDIES[name]
    derived = {"ARMADA"} if name in ("table07", "table08") else set()
    cells = {
        key: {0: printed.value}
        for key, printed in printed_table(name).items()
        if key.task != AVERAGE and key.variant not in derived
    }
    if derived:
        for other in study.prints:
            own = {cell.key for cell in study.cells}
            cells |= {key: {0: one.value} for key, one in printed_table(other).items() if key in own}
    return sheet_of(study, PAPER, Collected(values=complete(cells, study.derive)), "paper-tables")


@pytest.mark.parametrize("name", ["table04", "table07", "table08"])
def test_the_report_reproduces_the_printed_averages(name: str) -> None:
    averages = [line for line in report_of_own_cells(name).lines if line.key.task == AVERAGE]
    printed = [key for key in printed_table(name) if key.task == AVERAGE]
    own = [line for line in averages if line.key in printed]

    assert len(own) == len(printed)
    for line in own:
        assert line.mean is not None
        assert line.printed is not None
        # Two of the cells that make the best of three are printed 0.1 higher (below), which an average feels.
        assert line.mean == pytest.approx(
            line.printed.value, abs=0.11 if line.key.variant == "ARMADA" else 0.051
        )


def answers(name: str, *, source: str = "paper") -> dict[str, str]:
    sheet = sheet_of(STUDIES[name], PAPER, Collected(), "paper-tables")
    return {finding.what: finding.text for finding in sheet.findings if finding.source == source}


def test_an_average_over_other_tasks_has_no_difference_to_the_paper_s() -> None:
    study = STUDIES["table08"]
    cells = {cell.key: {1: 80.0} for cell in study.cells if cell.key.task == "SST-2"}
    found = Collected(values=complete(cells, study.derive))
    for profile in (PAPER, MINI):
        averages = [
            line
            for line in sheet_of(study, profile, found, "").lines
            if line.key.task == AVERAGE and line.ours
        ]

        assert {line.task for line in averages} == {"1 of 4 tasks"}
        assert {line.difference for line in averages} == {None}


@pytest.mark.parametrize(
    ("model", "of_three", "single"),
    [
        ("bert-6l", 3.50, 3.46),
        ("bert-base", 1.96, 1.65),
        ("deberta-v2-xxlarge", 1.61, 1.16),
        ("opt-1.3b", 1.63, 1.23),
    ],
)
def test_the_report_keeps_single_losses_and_the_best_of_three_apart(
    model: str, of_three: float, single: float
) -> None:
    own = [one for one in report_of_own_cells("table02").summaries if one.model == model]
    singles = {one.variant: one for one in own if not one.is_best}
    (best,) = [one for one in own if one.is_best]

    assert set(singles) == set(LOSSES)
    assert best.variant == BEST
    assert (best.ours, best.printed) == pytest.approx((of_three, of_three), abs=0.006)
    assert max(one.ours or 0 for one in singles.values()) == pytest.approx(single, abs=0.006)


def test_gains_of_reasoning_are_significant_by_the_best_of_three_alone() -> None:
    found = answers("table04")

    assert "one-sided t = 2.00, p = 0.043" in found[f"{BEST} against undistilled"]
    assert all("inside the noise" in found[f"{loss} against undistilled"] for loss in LOSSES)


def test_auxiliary_heads_agree_with_output_heads_by_0_99_and_0_55() -> None:
    found = answers("table10")

    assert "Spearman 0.99" in found["auxiliary beside output heads, student"]
    assert "auxiliary +2.16" in found["auxiliary beside output heads, student"]
    assert "Spearman 0.55" in found["auxiliary beside output heads, aligner"]
    assert "auxiliary +7.5" in found["auxiliary beside output heads, aligner"]


def test_a_capacity_matched_aligner_costs_2_8_on_average() -> None:
    found = answers("table11")

    assert found["all of these against the same with capacity-matched"].startswith(
        "mean gain +2.75, one-sided t"
    )


def test_shuffled_representations_cost_the_aligner_3_8_and_the_student_1_8() -> None:
    found = answers("table17")

    assert found["output-head against the same with shuffled-teacher"].startswith("mean gain +3.8")
    assert found["all of these against the same with shuffled-teacher"].startswith("mean gain +1.")


@pytest.mark.parametrize("name", ["figure04", "figure06"])
def test_medians_and_means_are_those_of_the_tables_cells(name: str) -> None:
    (study,) = [study for study in STUDIES.values() if study.name == name]
    said = answers(name)["gain under each loss"]
    values = as_values(printed_of(study))
    for loss in LOSSES:
        gains = sorted(
            gain
            for key in values
            if (key.model, key.variant) == (study.cells[0].key.model, loss)
            if (gain := mean_gain(values, key)) is not None
        )
        middle = (gains[(len(gains) - 1) // 2] + gains[len(gains) // 2]) / 2
        assert f"{loss} median {middle:+.2f}, mean {fmean(gains):+.2f}" in said
