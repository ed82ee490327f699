from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from distill.paired import bootstrap, compare, differing, mcnemar, twin_of
from distill.report import report
from distill.store import beside
from schemas.errors import ResultError
from schemas.manifest import TeacherIdentity
from schemas.result import CacheOrigin, RunResult, write_result

PLAIN = {"method": "undistilled", "seed": 1, "student": "minilm", "max_length": 32, "epochs": 2}
ARMADA = {**PLAIN, "method": "armada", "manifold": "euclid"}


def write_run(
    folder: Path,
    predicted: list[float],
    task: str = "movie-sentiment",
    digest: str = "d",
    student_digest: str = "s",
    **config: Any,
) -> tuple[Path, RunResult]:
    """A finished run whose labels are all 1, or 0, 1, 2 ... for a regression."""
    folder.mkdir()
    regression = task == "movie-rating"
    labels = np.arange(len(predicted), dtype=np.float32) if regression else np.ones(len(predicted), np.int64)
    ids = [f"row-{index}" for index in range(len(predicted))]
    columns = {"example_id": ids, "label": labels, "predicted": np.array(predicted, labels.dtype)}
    order = np.random.default_rng(len(folder.name)).permutation(len(ids))
    pq.write_table(pa.table(columns).take(order), folder / "predictions.parquet")
    teacher = TeacherIdentity(backend="test", name="numbers", revision="1", modality="audio")
    metric = "pearson" if regression else "accuracy"
    value = float(np.mean(predicted))
    result = RunResult(
        config={"task": task, **config},
        config_hash="a" * 64,
        student_digest=student_digest,
        cache=CacheOrigin(name="cache", digest=digest, teacher=teacher, rows=100),
        protocol="held-out",
        metrics={"student": {metric: value}, "majority": {metric: 0.5}},
        selection={"epoch": 1, "metric": metric, "value": value},
        num_rows={"train": 90, "select": 10, "report": len(predicted)},
        num_parameters={},
        seconds={"total": 12.4},
        peak_memory_bytes={},
        versions={},
        device="cpu",
    )
    write_result(folder, result)
    return folder, result


def test_mcnemar_by_hand() -> None:
    # Of 20 rows we alone are right on 8, the other alone on 1: p = 2 (1 + 9) / 2^9.
    ours, others = np.zeros(20, bool), np.zeros(20, bool)
    ours[:8], others[8:9] = True, True
    found = mcnemar(ours, others)
    assert found.p_value == pytest.approx(2 * (1 + 9) / 512)
    assert found.p_value == pytest.approx(2 * binom.cdf(1, 9, 0.5))
    assert found.difference == pytest.approx(7 / 20)
    assert found.low < 7 / 22 < found.high
    assert not found.is_noise
    assert mcnemar(ours, ours).p_value == 1
    assert mcnemar(ours, ours).is_noise


def test_bootstrap_sees_a_better_regression_and_no_difference_where_there_is_none() -> None:
    random = np.random.default_rng(0)
    labels = random.normal(size=200)
    good, poor = labels + random.normal(size=200) * 0.3, labels + random.normal(size=200) * 2
    found = bootstrap("pearson", labels, good, poor)
    assert found.low < found.difference < found.high
    assert found.low > 0.2
    assert not found.is_noise
    again = bootstrap("pearson", labels, good, good)
    assert (again.difference, again.is_noise) == (0, True)
    assert bootstrap("pearson", labels, good, poor) == found


def test_twin_is_the_undistilled_run_of_the_same_data(tmp_path: Path) -> None:
    ours = write_run(tmp_path / "armada", [1] * 10, **ARMADA)
    write_run(tmp_path / "another-seed", [1] * 10, **PLAIN | {"seed": 2})
    write_run(tmp_path / "another-cache", [1] * 10, digest="e", **PLAIN)
    write_run(tmp_path / "another-student-of-one-name", [1] * 10, student_digest="t", **PLAIN)
    assert twin_of(ours, beside(ours[0])) is None
    longer = write_run(tmp_path / "a-longer", [1] * 10, **PLAIN | {"epochs": 3})
    assert twin_of(ours, beside(ours[0])) == longer
    assert differing(ours[1], longer[1]) == ["epochs"]
    twin = write_run(tmp_path / "twin", [1] * 10, **PLAIN)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert twin_of(ours, beside(ours[0])) == twin
    assert twin_of(twin, beside(twin[0])) is None


def test_rows_are_joined_by_id(tmp_path: Path) -> None:
    ours = write_run(tmp_path / "armada", [1] * 10 + [0] * 10, **ARMADA)
    twin = write_run(tmp_path / "plain", [0] * 10 + [0] * 8, **PLAIN)
    found = compare(ours, twin)
    assert found is not None
    assert (found.rows, found.difference) == (18, pytest.approx(10 / 18))
    assert str(found).startswith("accuracy +0.556 (95 % interval +")
    assert str(found).endswith("McNemar's exact test, 18 rows, p = 0.002")
    (twin[0] / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        ResultError, match=r"plain/predictions\.parquet is cut short or damaged .*; delete it"
    ):
        compare(ours, twin)
    (twin[0] / "predictions.parquet").unlink()
    assert compare(ours, twin) is None


def test_a_regression_is_resampled(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=50) * 30
    ours = write_run(tmp_path / "armada", list(np.arange(50.0)), "movie-rating", **ARMADA)
    twin = write_run(tmp_path / "plain", list(np.arange(50) + noise), "movie-rating", **PLAIN)
    found = compare(ours, twin)
    assert found is not None
    assert (found.test, found.metric) == ("paired bootstrap", "pearson")
    assert found.difference > 0.1


def test_report_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "plain", [1] * 10 + [0] * 10, **PLAIN)
    write_run(tmp_path / "armada", [1] * 20, **ARMADA)
    write_run(tmp_path / "same", [1] * 11 + [0] * 9, **ARMADA | {"control": "shuffle"})
    report([tmp_path])
    printed = capsys.readouterr().out
    assert "+0.500 (p 0.002)" in printed
    assert "+0.050 (p 1, noise)" in printed
    assert "p: McNemar's exact test beside the undistilled run" in printed
