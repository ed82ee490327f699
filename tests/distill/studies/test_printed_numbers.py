"""What the printed numbers of the paper support, recomputed from the package data."""

from statistics import fmean

import pytest
from scipy.stats import ttest_1samp

from distill.analyses.heads import head_agreement
from distill.studies.printed import printed_table

LOSSES = ("cosine", "euclid", "elementwise")
DIFFUSION, MIDJOURNEY = "stable-diffusion-v1-4", "midjourney"
Row = dict[str, float]


def row(tables: str, model: str, teacher: str, variant: str) -> Row:
    """Values of a row by task, of one table or of several (`02 03`); a printed average is left out."""
    numbers = {key: one for name in tables.split() for key, one in printed_table(f"table{name}").items()}
    return {
        key.task: one.value
        for key, one in numbers.items()
        if (key.model, key.teacher, key.variant) == (model, teacher, variant) and key.task != "Average"
    }


def gains(tables: str, model: str, teacher: str = DIFFUSION) -> dict[str, Row]:
    """Gain over undistilled by loss and task."""
    base = row(tables, model, "", "undistilled")
    return {
        loss: {task: value - base[task] for task, value in row(tables, model, teacher, loss).items()}
        for loss in LOSSES
    }


def best_single(found: dict[str, Row]) -> float:
    return max(fmean(by_task.values()) for by_task in found.values())


def best_of_three(found: dict[str, Row]) -> float:
    return fmean(max(found[loss][task] for loss in LOSSES) for task in found["cosine"])


def below_under_every_loss(found: dict[str, Row]) -> list[str]:
    return [task for task in found["cosine"] if all(found[loss][task] < 0 for loss in LOSSES)]


@pytest.mark.parametrize("name", ["table04", "table07", "table08"])
def test_averages_recompute_from_their_rows(name: str) -> None:
    numbers = printed_table(name)
    averages = {key: one.value for key, one in numbers.items() if key.task == "Average"}

    assert len(averages) == {"table04": 4, "table07": 12, "table08": 9}[name]
    for key, average in averages.items():
        # Rounded to a tenth, a half either way.
        cells = row(name[-2:], key.model, key.teacher, key.variant)
        assert fmean(cells.values()) == pytest.approx(average, abs=0.0501), key


@pytest.mark.parametrize(
    ("model", "tables", "of_three", "single"),
    [
        ("bert-base", "02 03", 2.79, 2.43),
        ("bert-6l", "02 03", 3.02, 2.96),
        ("bert-6l", "02", 3.50, 3.46),
        ("deberta-v2-xxlarge", "02", 1.61, 1.16),
        ("opt-1.3b", "02", 1.63, 1.23),
    ],
)
def test_gains_of_the_text_are_the_best_of_three_losses(
    model: str, tables: str, of_three: float, single: float
) -> None:
    # The text: BERT-base 2.8, BERT-6L 3.4, DeBERTa 1.4, OPT 1.5. No single run has the best of three.
    found = gains(tables, model)

    assert (best_of_three(found), best_single(found)) == pytest.approx((of_three, single), abs=0.006)


def test_instruction_tuning_gains_by_the_best_of_three() -> None:
    # The text: 1.4 and 1.3; both are the text-to-audio teacher's.
    small, large = (
        gains(table, model, "text-to-audio")
        for table, model in (("12", "llama-3.2-3b"), ("13", "llama-3.1-8b"))
    )

    assert (best_of_three(small), best_of_three(large)) == pytest.approx((1.38, 1.33), abs=0.006)
    assert (best_single(small), best_single(large)) == pytest.approx((1.22, 1.00), abs=0.006)


def test_llama_7b_gains_half_a_point_by_cosine_alone() -> None:
    # The text: 0.5, and better on five of eight tasks.
    found = gains("04", "llama-7b")
    means = [fmean(found[loss].values()) for loss in LOSSES]

    assert means == pytest.approx([0.49, 0.42, -0.14], abs=0.006)
    assert [sum(gain > 0 for gain in found[loss].values()) for loss in LOSSES] == [5, 5, 4]


def test_under_midjourney_bert_base_loses_by_every_loss() -> None:
    found = gains("05", "bert-base", MIDJOURNEY)

    assert [fmean(found[loss].values()) for loss in LOSSES] == pytest.approx([-0.35, -0.36, -0.68], abs=0.006)


@pytest.mark.parametrize(
    ("table", "model", "teacher", "tasks"),
    [
        ("02", "bert-6l", DIFFUSION, []),
        ("02", "bert-base", DIFFUSION, []),
        ("02", "deberta-v2-xxlarge", DIFFUSION, ["COPA", "WiC"]),
        ("02", "opt-1.3b", DIFFUSION, ["WiC"]),
        ("03", "bert-6l", DIFFUSION, []),
        ("03", "bert-base", DIFFUSION, []),
        ("04", "llama-7b", DIFFUSION, ["WinoGrande", "SingleEq"]),
        ("05", "bert-6l", MIDJOURNEY, ["STS-B"]),
        ("05", "bert-base", MIDJOURNEY, ["RTE", "STS-B", "BoolQ"]),
        ("05", "deberta-v2-xxlarge", MIDJOURNEY, ["CoLA", "STS-B", "COPA", "WiC"]),
        ("05", "opt-1.3b", MIDJOURNEY, ["MRPC", "WiC"]),
        ("12", "llama-3.2-3b", "text-to-image", []),
        ("12", "llama-3.2-3b", "text-to-video", []),
        ("12", "llama-3.2-3b", "text-to-audio", []),
        ("13", "llama-3.1-8b", "text-to-image", ["Dolly"]),
        ("13", "llama-3.1-8b", "text-to-video", ["Dolly"]),
        ("13", "llama-3.1-8b", "text-to-audio", ["Dolly"]),
    ],
)
def test_tasks_below_undistilled_under_every_loss(
    table: str, model: str, teacher: str, tasks: list[str]
) -> None:
    assert below_under_every_loss(gains(table, model, teacher)) == tasks


def test_armada_beside_the_baselines_is_the_best_of_three_with_four_cells_a_tenth_above() -> None:
    above = {}
    for table, model in (("07", "bert-6l"), ("08", "bert-base")):
        of_losses = [row("02 03", model, DIFFUSION, loss) for loss in LOSSES]
        for task, value in row(table, model, DIFFUSION, "ARMADA").items():
            above[model, task] = round(value - max(one[task] for one in of_losses), 1)

    assert {cell: gap for cell, gap in above.items() if gap} == {
        ("bert-6l", "QQP"): 0.1,
        ("bert-6l", "STS-B"): 0.1,
        ("bert-base", "QNLI"): 0.1,
        ("bert-base", "QQP"): 0.1,
    }


def test_auxiliary_heads_agree_with_output_heads_in_students_and_half_in_aligners() -> None:
    # The text: 0.99 and 0.69, gaps of 0.61 and 6.07.
    students = [
        (row("02", "bert-base", DIFFUSION, loss), row("10", "bert-base", DIFFUSION, f"{loss}/auxiliary-head"))
        for loss in LOSSES
    ]
    output = [value for one, _ in students for value in one.values()]
    auxiliary = [other[task] for one, other in students for task in one]
    found = head_agreement(output, auxiliary)
    assert (found.spearman, found.gap, found.num_pairs) == pytest.approx((0.99, 2.16, 24), abs=0.006)

    aligner = row("06", "ts-aligner", DIFFUSION, "output-head")
    its_own = row("10", "ts-aligner", DIFFUSION, "auxiliary-head")
    found = head_agreement(list(aligner.values()), [its_own[task] for task in aligner])
    assert (found.spearman, found.gap, found.num_pairs) == pytest.approx((0.55, 7.5, 8), abs=0.006)


def test_silhouettes_rise_by_76_percent_and_do_not_fall_by_20() -> None:
    rises = {}
    for scenario in (1, 2):
        before = row("14", "bert-base", "", f"undistilled/scenario-{scenario}")
        after = row("14", "bert-base", DIFFUSION, f"armada/scenario-{scenario}")
        of_tasks = {task: after[task] / before[task] - 1 for task in before}
        of_means = fmean(after.values()) / fmean(before.values()) - 1
        rises[scenario] = (fmean(of_tasks.values()), of_means, of_tasks["CoLA"])

    assert rises[1][:2] == pytest.approx((0.76, 0.76), abs=0.005)
    # The text: 20 % down. By the mean of the tasks' changes 8, by the change of the mean 13; and CoLA rises.
    assert rises[2] == pytest.approx((-0.08, -0.13, 0.20), abs=0.005)


def test_with_shuffled_representations_cola_and_wic_alone_are_below_undistilled() -> None:
    base = row("02", "bert-base", "", "undistilled")
    shuffled = [row("17", "bert-base", DIFFUSION, f"{loss}/shuffled-teacher") for loss in LOSSES]
    below = [task for task in base if all(one[task] < base[task] for one in shuffled)]

    assert below == ["CoLA", "WiC"]
    assert [one["BoolQ"] > base["BoolQ"] for one in shuffled] == [True] * 3


@pytest.mark.parametrize(
    ("table", "variant", "aligner", "student"),
    [("17", "shuffled-teacher", -3.86, -1.83), ("11", "capacity-matched", -2.22, -2.75)],
)
def test_what_the_controls_cost(table: str, variant: str, aligner: float, student: float) -> None:
    # The text: 3.8 and 1.8 by shuffling; 2.8 on average by an aligner without projection.
    whole = [row("02", "bert-base", DIFFUSION, loss) for loss in LOSSES]
    ours = [row(table, "bert-base", DIFFUSION, f"{loss}/{variant}") for loss in LOSSES]
    changes = [
        after[task] - before[task] for before, after in zip(whole, ours, strict=True) for task in before
    ]
    its_own, base = (
        row(table, "ts-aligner", DIFFUSION, variant),
        row("06", "ts-aligner", DIFFUSION, "output-head"),
    )

    assert fmean(changes) == pytest.approx(student, abs=0.006)
    assert fmean(its_own[task] - base[task] for task in base) == pytest.approx(aligner, abs=0.006)


def test_the_t_of_reasoning_is_that_of_the_best_of_three() -> None:
    # The text: t 2.0, p 0.04, one-sided. No loss by itself is below 0.05.
    found = gains("04", "llama-7b")
    of_three = [max(found[loss][task] for loss in LOSSES) for task in found["cosine"]]
    tested = ttest_1samp(of_three, 0, alternative="greater")

    assert (tested.statistic, tested.pvalue) == pytest.approx((2.00, 0.043), abs=0.005)
    alone = [ttest_1samp(list(found[loss].values()), 0, alternative="greater").pvalue for loss in LOSSES]
    assert alone == pytest.approx([0.147, 0.074, 0.717], abs=0.001)


@pytest.mark.parametrize(
    ("table", "variant", "aligner", "student"),
    [("17", "shuffled-teacher", 0.078, 0.031), ("11", "capacity-matched", 0.131, 0.058)],
)
def test_the_p_of_the_controls_are_two_sided_over_tasks(
    table: str, variant: str, aligner: float, student: float
) -> None:
    # The text: 0.08 and 0.03 for Table 17, which recompute; below 0.05 for Table 11, so one-sided alone.
    tasks = row("06", "ts-aligner", DIFFUSION, "output-head")
    its_own = row(table, "ts-aligner", DIFFUSION, variant)
    changes = [
        fmean(
            row(table, "bert-base", DIFFUSION, f"{loss}/{variant}")[task]
            - row("02", "bert-base", DIFFUSION, loss)[task]
            for loss in LOSSES
        )
        for task in tasks
    ]

    assert ttest_1samp([its_own[task] - tasks[task] for task in tasks], 0).pvalue == pytest.approx(
        aligner, abs=0.001
    )
    assert ttest_1samp(changes, 0).pvalue == pytest.approx(student, abs=0.001)
