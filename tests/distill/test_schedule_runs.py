"""Whole small trainings under every schedule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distill import trainer
from distill.aligner import TSAligner
from distill.config import resolve
from distill.schedules import SCHEDULES
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.result import RunResult

Run = Callable[..., tuple[Path, RunResult]]
SMALL = {"epochs": 2, "batch_size": 16, "lr": 1e-3, "max_length": 32, "precision": "fp32", "hidden_dim": 16}


@pytest.fixture
def run(cache: TeacherCache, tiny_student: Path, tmp_path: Path) -> Run:
    def make(name: str = "run", **given: Any) -> tuple[Path, RunResult]:
        options = {"task": "movie-sentiment", "student": str(tiny_student), **SMALL, **given}
        (tmp_path / name).mkdir()
        return tmp_path / name, fit(resolve(options, "audio"), cache, tmp_path / name, quiet=True)

    return make


def towers(folder: Path) -> str:
    """Which towers learnt in each step: a, s, or b for both."""
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kinds = [("aligner/total" in step, "student/total" in step) for step in steps]
    return "".join({(True, False): "a", (False, True): "s", (True, True): "b"}[kind] for kind in kinds)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("alternating", ("a" * 6 + "s" * 6) * 2),
        ("joint", "b" * 12),
        ("pretrained", "a" * 12 + "s" * 12),
        ("frozen", "s" * 12),
    ],
)
def test_steps_of_a_schedule(run: Run, schedule: str, wanted: str) -> None:
    folder, result = run(schedule=schedule)
    assert towers(folder) == wanted
    assert set(result.metrics) == {"student", "student_aux", "aligner", "aligner_aux", "majority"}
    assert (result.num_parameters["aligner_trainable"] == 0) is (schedule == "frozen")


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_only_frozen_leaves_the_aligner_bit_for_bit(
    run: Run, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    drawn: dict[str, torch.Tensor] = {}

    def keep(*arguments: Any) -> TSAligner:
        aligner = TSAligner(*arguments)
        drawn.update({name: value.clone() for name, value in aligner.state_dict().items()})
        return aligner

    monkeypatch.setattr(trainer, "TSAligner", keep)
    folder, _ = run(schedule=schedule)
    saved = load_file(folder / "aligner.safetensors")
    assert set(saved) == set(drawn)
    assert all(torch.equal(saved[name], drawn[name]) == (schedule == "frozen") for name in drawn)
