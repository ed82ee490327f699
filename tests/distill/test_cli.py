import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.cache import TeacherCache

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def distill(cache: TeacherCache, tiny_student: Path, tmp_path: Path) -> Command:
    """Run the command as a user does, in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        defaults = {"--shards": str(cache.folder), "--student": str(tiny_student), "--max-length": "32"}
        given = [part for pair in defaults.items() if pair[0] not in arguments for part in pair]
        command = [sys.executable, "-c", "from distill.cli import main; main()", *given, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False
        )

    return run


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def refused(done: subprocess.CompletedProcess[str], status: int, *parts: str) -> None:
    assert done.returncode == status
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


def test_help_needs_nothing_heavy(distill: Command) -> None:
    done = distill("--help")
    assert done.returncode == 0
    assert "--manifold-dim" in done.stdout
    assert "--config FILE.toml" in done.stdout
    assert distill("-h").stdout == done.stdout
    code = "import sys, distill.cli; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert not {"torch", "transformers", "pyarrow", "polars", "sklearn", "scipy", "matplotlib"} & set(loaded)


def test_a_cache_may_stand_in_an_object_store(
    distill: Command, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARMADA_CACHE_DIR", str(tmp_path / "home"))
    refused(distill("--shards", f"file://{tmp_path}/none"), 1, "no manifest.json, so no teacher cache")
    done = distill("--shards", f"file://{cache.folder}", "--epochs", "1", "--method", "undistilled", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["student"]


@pytest.mark.slow
def test_a_run_is_made_once(distill: Command, tmp_path: Path) -> None:
    first = distill("--epochs", "1", "--json", "--control", "shuffle")
    assert first.returncode == 0, first.stderr
    summary = json.loads(first.stdout)
    folder = tmp_path / summary["folder"]
    assert folder.parent == tmp_path / "data/results/movie-sentiment"
    assert folder.name == f"armada-euclid-shuffle-s42-{summary['config_hash'][:8]}"
    wanted = {
        "run.json",
        "metrics.jsonl",
        "curves.png",
        "predictions.parquet",
        "student",
        "aligner.safetensors",
        "config.toml",
    }
    assert {entry.name for entry in folder.iterdir()} == wanted
    stamp = (folder / "run.json").stat().st_mtime_ns
    again = distill("--config", str(folder / "config.toml"), "--json")
    assert again.returncode == 0, again.stderr
    assert "finished already" in again.stderr
    assert json.loads(again.stdout) == summary
    assert (folder / "run.json").stat().st_mtime_ns == stamp
    measured = distill("--config", str(folder / "config.toml"), "--evaluate-only", "--json")
    student = json.loads(measured.stdout)["evaluated"]["validation"]
    assert student == pytest.approx(summary["metrics"]["student"])
    refused(distill("--seed", "1", "--predict", "x.csv"), 1, "no finished run", "without --predict")
    (folder / "aligner.safetensors").unlink()
    config = ("--config", str(folder / "config.toml"))
    refused(distill(*config, "--evaluate-only"), 1, "aligner.safetensors is gone", "without --predict")
    assert "aligner.safetensors of the finished run is gone" in distill(*config).stderr
    assert (folder / "aligner.safetensors").exists()
    refused(distill("--out", str(folder), "--seed", "1"), 1, str(folder), "give another --out")


def test_a_finished_run_is_found_without_torch(tmp_path: Path) -> None:
    code = "import sys, distill.store, distill.weights, schemas.cache; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "status", "parts"),
    [
        (["--alpha", "2"], 2, ["--alpha 2.0", "0 to 1"]),
        (["--epochs", "0"], 2, ["--epochs 0", "at least 1"]),
        (["--method", "undistilled", "--beta", "1"], 2, ["--beta has no effect"]),
        (["--student", "no/such/place"], 1, ["no/such/place", "make data"]),
        (["--shards", "nowhere"], 1, ["nowhere", "cache-teacher"]),
        (["--config", "missing.toml"], 2, ["missing.toml"]),
        (["--split", "test"], 2, ["--split has no effect without --evaluate-only"]),
        (["--shards", ""], 2, ["--shards is empty; give the folder of a teacher cache"]),
        (["--out", ""], 2, ["'--out'", "it is empty; give a path, or leave the option out"]),
        (["--out", "s3://bucket/x"], 2, ["'--out'", "s3://bucket/x is a URL; give a path of this machine"]),
    ],
)
def test_wrong_use_is_one_line(distill: Command, arguments: list[str], status: int, parts: list[str]) -> None:
    refused(distill(*arguments), status, *parts)


def test_a_cache_that_is_not_whole_is_refused(
    distill: Command, make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    folder = make_cache(tmp_path / "cache", train=40, validation=8).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"].pop()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    refused(distill("--shards", str(folder)), 1, "40 of 48 rows")


def test_a_cache_without_representations_is_refused_before_anything_begins(
    distill: Command, make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    folder = make_cache(tmp_path / "bare", train=40, validation=8, width=None).folder
    refused(distill("--shards", str(folder), "--out", "run"), 1, "keeps no representations", "undistilled")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_else_is_left_alone(distill: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("words")
    refused(distill("--out", "mine"), 1, "thesis.tex", "no run of distill")
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
