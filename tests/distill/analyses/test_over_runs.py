import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from distill.analyses.finished import open_run
from distill.analyses.heads import head_agreement
from distill.analyses.sensitivity import sensitivity
from distill.analyses.training_gain import gain_of, training_gain
from schemas.errors import AnalysisError


def test_sensitivity_by_hand() -> None:
    # Of 0 and 2 the variance is 1, of 0.8 and 0.6 it is 0.01.
    assert sensitivity({0.0: 0.8, 2.0: 0.6}) == pytest.approx(0.01)
    values = {0.0: 59.3, 1.0: 59.0, 2.0: 60.1, 5.0: 57.2}
    assert sensitivity(values) == pytest.approx(
        np.var(list(values.values()), ddof=1) / np.var([0, 1, 2, 5], ddof=1)
    )
    for few in ({}, {0.0: 0.8}):
        with pytest.raises(
            AnalysisError, match=r"sensitivity to noise: runs with sigma .*, wanted at least two"
        ):
            sensitivity(few)


def test_heads_agree_as_scipy_says() -> None:
    output, auxiliary = [59.8, 84.3, 70.0, 89.1], [59.0, 83.4, 70.4, 88.6]
    found = head_agreement(output, auxiliary)

    assert found.spearman == pytest.approx(stats.spearmanr(output, auxiliary).statistic)
    assert found.p_value == pytest.approx(stats.spearmanr(output, auxiliary).pvalue)
    assert found.gap == pytest.approx(np.mean(output) - np.mean(auxiliary))
    for few in (([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])):
        with pytest.raises(AnalysisError, match="Spearman of output and auxiliary heads"):
            head_agreement(*few)


def test_gain_is_scipys_paired_test_and_positive_where_training_helps() -> None:
    random = np.random.default_rng(0)
    without = {(1, step): float(value) for step, value in enumerate(random.normal(1, 0.1, 50))}
    trained = {step: value - 0.05 + 0.01 * random.normal() for step, value in without.items()}
    found = gain_of(without, trained, "made")
    wanted = stats.ttest_rel(list(without.values()), list(trained.values()))

    assert (found.statistic, found.p_value) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert found.statistic > 0
    assert found.difference == pytest.approx(0.05, abs=0.01)
    assert gain_of(trained, without, "made").statistic == pytest.approx(-found.statistic)
    with pytest.raises(AnalysisError, match="differ by 0, so there is nothing to test"):
        gain_of(without, without, "made")
    with pytest.raises(AnalysisError, match="49 and 50 steps of the student, wanted the same"):
        gain_of(without, dict(list(trained.items())[1:]), "made")


def test_gain_reads_the_students_steps_alone(armada: Path, frozen: Path) -> None:
    found = training_gain(open_run(armada), open_run(frozen))
    means = []
    for folder in (frozen, armada):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        means.append(np.mean([line["student/task"] for line in lines if "student/task" in line]))

    assert found.num_steps == 12
    assert found.difference == pytest.approx(means[0] - means[1])


def test_gain_of_runs_that_are_no_pair_is_refused(
    armada: Path, frozen: Path, undistilled: Path, tmp_path: Path
) -> None:
    ours, other = open_run(armada), open_run(frozen)
    for pair in ((other, ours), (ours, ours), (ours, open_run(undistilled))):
        with pytest.raises(
            AnalysisError, match="wanted a run whose aligner is trained, then one of --schedule"
        ):
            training_gain(*pair)
    changed = shutil.copytree(frozen, tmp_path / "changed")
    text = (changed / "run.json").read_text()
    (changed / "run.json").write_text(text.replace('"manifold": "euclid"', '"manifold": "cosine"'))
    with pytest.raises(AnalysisError, match="differ in manifold; wanted the schedule alone"):
        training_gain(ours, open_run(changed))
    (changed / "run.json").write_text(text.replace('"device": "auto"', '"device": "cpu"'))
    assert training_gain(ours, open_run(changed)).num_steps == 12
    (changed / "metrics.jsonl").write_text('{"epoch": 1, "step": 1, "student/total": 1.0}\n')
    with pytest.raises(AnalysisError, match="has no student/task, as with --alpha 1"):
        training_gain(ours, open_run(changed))
