import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distill.report import Line, difference, name_of, report, standard_error
from schemas.errors import ResultError
from schemas.manifest import TeacherIdentity
from schemas.result import CacheOrigin, RunResult, write_result

METRICS = {"accuracy": 0.8, "macro_f1": 0.79}


def result(accuracy: float, **config: Any) -> RunResult:
    teacher = TeacherIdentity(backend="test", name="numbers", revision="1", modality="audio")
    heads = {"student": METRICS | {"accuracy": accuracy}, "majority": METRICS | {"accuracy": 0.5}}
    if config["method"] == "armada":
        heads["aligner"] = METRICS | {"accuracy": 0.6}
    return RunResult(
        config={"task": "movie-sentiment", "seed": 42, **config},
        config_hash="a" * 64,
        cache=CacheOrigin(name="cache", digest="d", teacher=teacher, rows=100),
        protocol="held-out",
        metrics=heads,
        selection={"epoch": 1, "metric": "accuracy", "value": 0.8},
        num_rows={"train": 90, "select": 10, "report": 400},
        num_parameters={},
        seconds={"total": 12.4},
        peak_memory_bytes={},
        versions={},
        device="cpu",
    )


def test_table_sets_every_run_beside_the_undistilled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {
        "shuffled": result(0.801, method="armada", control="shuffle"),
        "armada": result(0.85, method="armada", control="none"),
        "plain": result(0.8, method="undistilled"),
    }
    for name, one in runs.items():
        (tmp_path / name).mkdir()
        write_result(tmp_path / name, one)
    report([tmp_path])
    printed = capsys.readouterr().out
    wanted = ["undistilled student", "ARMADA student", "shuffled", "aligner alone", "majority class"]
    places = [printed.index(name) for name in wanted]
    assert places == sorted(places)
    assert "aligner alone (of ARMADA student, seed 42)" in printed
    assert "aligner alone (of ARMADA, representations shuffled, seed 42)" in printed
    assert "+0.050" in printed
    assert "+0.001 (noise)" in printed
    assert "-0.300" in printed
    assert "one standard error of undistilled, 0.020" in printed
    assert "\x1b" not in printed


def test_the_parts_of_a_task_stand_below_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = result(0.8, method="undistilled")
    parts = {"accuracy/matched": 0.7, "macro_f1/matched": 0.6, "accuracy/mismatched": 0.9}
    student = plain.metrics["student"] | parts
    write_result(tmp_path, plain.model_copy(update={"metrics": plain.metrics | {"student": student}}))
    report([tmp_path])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row and "matched" in row[0]] == [
        ["matched", "0.700"],
        ["mismatched", "0.900"],
    ]


def test_runs_of_two_caches_stand_in_two_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, other = result(0.8, method="undistilled"), result(0.9, method="armada")
    elsewhere = other.model_copy(update={"cache": other.cache.model_copy(update={"name": "speech"})})
    for name, one in {"plain": plain, "elsewhere": elsewhere}.items():
        (tmp_path / name).mkdir()
        write_result(tmp_path / name, one)
    report([tmp_path])

    printed = capsys.readouterr().out
    assert "movie-sentiment, cache (d)" in printed
    assert "movie-sentiment, speech (d)" in printed
    assert "+0.100" not in printed


def test_noise_is_a_standard_error() -> None:
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    base = Line("undistilled", {"accuracy": 0.5})
    assert difference(Line("", {"accuracy": 0.54}), base, "accuracy", 100) == "+0.040 (noise)"
    assert difference(Line("", {"accuracy": 0.56}), base, "accuracy", 100) == "+0.060"
    assert difference(base, base, "accuracy", 100) == ""


def test_a_name_tells_what_is_unusual() -> None:
    usual = {"manifold": "euclid", "formulation": "reference", "aligner": "reference"}
    assert name_of(result(0.8, method="armada", **usual)) == "ARMADA student, seed 42"
    other = {"manifold": "cosine", "formulation": "paper", "aligner": "capacity-matched"}
    name = name_of(result(0.8, method="armada", **other, schedule="joint"))
    assert name == "ARMADA student, cosine, paper losses, capacity-matched aligner, joint, seed 42"


def test_a_narrow_terminal_breaks_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    folder = tmp_path / "a-folder-whose-name-is-longer-than-a-narrow-terminal-is-wide"
    folder.mkdir()
    write_result(folder, result(0.8, method="undistilled"))
    report([tmp_path])
    assert f"undistilled student, seed 42: {folder}\n" in capsys.readouterr().out


def test_no_result_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"no run\.json below"):
        report([tmp_path])


def test_is_a_command(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write_result(tmp_path / "plain", result(0.8, method="undistilled"))
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "distill.report", str(tmp_path)]
    assert "undistilled student" in subprocess.check_output(command, cwd=root, text=True)
    command[-1] = str(tmp_path / "empty")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
