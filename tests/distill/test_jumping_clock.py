"""A training under a wall clock that jumps by hours is the one of a clock that does not."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distill.checkpoint import Checkpoints
from distill.config import resolve
from distill.session import Session
from distill.trainer import fit
from distill.training import Training
from schemas.cache import TeacherCache
from schemas.result import RunResult

Fit = Callable[[str], tuple[Path, RunResult]]


@pytest.fixture
def train(cache: TeacherCache, tiny_student: Path, tmp_path: Path) -> Fit:
    def run(name: str) -> tuple[Path, RunResult]:
        options = {"batch_size": 8, "epochs": 2, "max_length": 32, "hidden_dim": 16, "lr": 1e-2}
        config = resolve({"task": "movie-sentiment", "student": str(tiny_student), **options}, "audio")
        (tmp_path / name).mkdir()
        return tmp_path / name, fit(config, cache, tmp_path / name, quiet=True, session=Session())

    return run


def test_a_training_does_not_look_at_the_wall_clock(train: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    calm, wanted = train("calm")
    true_time, moved, ahead, saved = time.time, Training._moved, 36_000.0, list[int]()

    def jumped(self: Training, num_rows: int) -> None:
        nonlocal ahead
        ahead = -ahead
        moved(self, num_rows)

    save = Checkpoints.save
    monkeypatch.setattr(time, "time", lambda: true_time() + ahead)
    monkeypatch.setattr(time, "time_ns", lambda: int((true_time() + ahead) * 1e9))
    monkeypatch.setattr(Training, "_moved", jumped)
    monkeypatch.setattr(Checkpoints, "save", lambda self, snapshot: saved.append(1) or save(self, snapshot))
    started = time.monotonic()
    jumpy, found = train("jumpy")
    lasted = time.monotonic() - started

    assert found.metrics == wanted.metrics
    names = [path.name for path in (calm / "student").glob("*.safetensors")]
    assert names
    for name in names:
        weights = [load_file(folder / "student" / name) for folder in (calm, jumpy)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    # One is written after each pass where that costs little, and one every 60 s: hours would be one a step.
    assert len(saved) <= 4
    assert all(0 <= seconds <= lasted for seconds in found.seconds.values())
