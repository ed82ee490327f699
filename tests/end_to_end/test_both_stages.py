"""What a user does on the first day: a real teacher cached, a student distilled, the results compared."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Start a command's module as its installed script would, tokens kept out of the user's own folder."""
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "ARMADA_CACHE_DIR": str(tmp_path_factory.mktemp("tokens")),
    }

    def start(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = f"from {module} import main; main()"
        return subprocess.run(
            [sys.executable, "-c", command, *map(str, arguments)],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )

    return start


@pytest.fixture(scope="module")
def shards(run: Run, fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "speech"
    run(
        *("teacher_cache.cli", "--model", f"speech:hibari+{fetched / 'models/whisper-tiny.en'}"),
        *("--source", fetched / "tasks/movie-reviews", "--limit", 32, "--out", folder, "--quiet"),
    )
    return folder


@pytest.fixture(scope="module")
def results(run: Run, fetched: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for name, options in {
        "undistilled": ("--method", "undistilled"),
        "armada": (),
        "shuffled": ("--control", "shuffle"),
    }.items():
        student = ("--student", fetched / "models/minilm", "--epochs", 1, "--batch-size", 8)
        run("distill.cli", "--shards", shards, "--out", folder / name, *student, *options, "--quiet")
    return folder


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_the_cache_holds_what_the_teacher_heard(run: Run, shards: Path) -> None:
    rows = pl.read_parquet(shards / "*.parquet")

    assert rows.height == 32
    assert rows["teacher_repr"].null_count() == 0
    assert rows["error"].null_count() == 32
    assert run("teacher_cache.shards_cli", "verify", shards).returncode == 0


def test_the_student_is_a_plain_model_that_predicts_the_same(results: Path, shards: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    student = results / "armada" / "student"
    model = AutoModelForSequenceClassification.from_pretrained(student).eval()
    tokenizer = AutoTokenizer.from_pretrained(student)
    prompts = pl.read_parquet(shards / "validation-*.parquet", columns=["example_id", "prompt"])
    predicted = pl.read_parquet(results / "armada" / "predictions.parquet").join(prompts, on="example_id")

    with torch.no_grad():
        logits = model(**tokenizer(predicted["prompt"].to_list(), padding=True, return_tensors="pt")).logits

    assert predicted.height == prompts.height
    assert logits.argmax(dim=1).tolist() == predicted["predicted"].to_list()


def test_a_run_says_what_it_measured_and_on_what(results: Path, shards: Path) -> None:
    armada, undistilled = result(results / "armada"), result(results / "undistilled")

    assert set(armada["metrics"]) == {"student", "student_aux", "aligner", "aligner_aux", "majority"}
    assert set(undistilled["metrics"]) == {"student", "majority"}
    assert armada["cache"]["digest"] == undistilled["cache"]["digest"]
    assert armada["cache"]["teacher"]["modality"] == "audio"
    assert armada["seconds"]["total"] > 0
    assert armada["peak_memory_bytes"]["process"] > 0


def test_the_same_command_again_does_nothing_twice(run: Run, results: Path, shards: Path) -> None:
    before = (results / "undistilled" / "run.json").stat().st_mtime_ns
    student = ("--student", "data/models/minilm", "--epochs", 1, "--batch-size", 8)

    finished = run(
        *("distill.cli", "--shards", shards, "--out", results / "undistilled"),
        *(*student, "--method", "undistilled"),
    )

    assert "finished already" in finished.stderr
    assert (results / "undistilled" / "run.json").stat().st_mtime_ns == before


def test_the_report_sets_them_side_by_side(run: Run, results: Path) -> None:
    table = run("distill.report", results).stdout

    for name in ("undistilled student", "ARMADA student", "shuffled", "aligner alone", "majority class"):
        assert name in table
