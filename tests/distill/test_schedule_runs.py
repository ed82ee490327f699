"""Whole small trainings under every schedule."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distill import classifying, trainer
from distill.aligner import TSAligner
from distill.config import resolve
from distill.disciplines import CLASSIFYING, DISCIPLINES
from distill.rates import rate_of
from distill.schedules import SCHEDULES
from distill.student import Student
from distill.tower import Tower
from distill.trainer import fit
from distill.training import Training
from schemas.cache import TeacherCache
from schemas.result import RunResult
from schemas.tasks import LabelKind

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
    kinds = [("aligner/total" in step, "student/total" in step) for step in steps if "step" in step]
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

    def keep(*arguments: Any, **settings: Any) -> TSAligner:
        aligner = TSAligner(*arguments, **settings)
        drawn.update({name: value.clone() for name, value in aligner.state_dict().items()})
        return aligner

    monkeypatch.setattr(classifying, "TSAligner", keep)
    folder, _ = run(schedule=schedule)
    saved = load_file(folder / "aligner.safetensors")
    assert set(saved) == set(drawn)
    assert all(torch.equal(saved[name], drawn[name]) == (schedule == "frozen") for name in drawn)


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_a_tower_that_does_not_learn_answers_without_dropout(
    run: Run, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    step, seen = Training._step, set()

    def watched(self: Training, batch: Any, trains: tuple[str, ...], part: Any) -> Any:
        seen.update((trains, name, tower.module.training) for name, tower in self.towers.items())
        return step(self, batch, trains, part)

    monkeypatch.setattr(Training, "_step", watched)
    run(schedule=schedule, epochs=1)
    assert seen
    assert all(learns == (name in trains) for trains, name, learns in seen)


def test_joint_asks_and_moves_each_tower_once_a_batch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for kind, name in ((TSAligner, "aligner"), (Student, "student")):

        def forward(
            self: Any, *given: Any, whole: Any = kind.forward, name: str = name, **tokens: Any
        ) -> Any:
            if self.training:
                done.append(f"{name} answers")
            return whole(self, *given, **tokens)

        monkeypatch.setattr(kind, "forward", forward)
    moved = Tower.step
    monkeypatch.setattr(
        Tower,
        "step",
        lambda self, *given: done.append(f"{type(self.module).__name__} moves") or moved(self, *given),
    )
    run(schedule="joint", epochs=1)
    assert done == ["aligner answers", "TSAligner moves", "student answers", "Student moves"] * 6


def test_accumulation_is_told_where_it_changes_batch_statistics(run: Run) -> None:
    folder, result = run("euclid", accumulate=4, epochs=1)
    assert towers(folder) == "a" * 6 + "s" * 6
    assert len(result.notes) == 1
    assert result.notes[0].startswith("batch statistics are of 16 rows: the two means of the euclid loss")
    assert result.notes[0].endswith("not of the 4 batches of an optimiser step")
    assert run("elementwise", accumulate=4, epochs=1, manifold="elementwise")[1].notes == ()


def test_patience_stops_after_epochs_without_a_better_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.5, 0.7, 0.7, 0.6, 0.9])
    measuring = replace(CLASSIFYING, measure=lambda *_: {"accuracy": next(values)})
    monkeypatch.setitem(DISCIPLINES, LabelKind.SINGLE, measuring)
    folder, result = run(epochs=5, patience=2)
    assert towers(folder) == ("a" * 6 + "s" * 6) * 4
    assert result.selection == {"epoch": 2, "metric": "accuracy", "value": 0.7}
    assert result.notes == ("stopped after 4 of 5 epochs: 2 in a row were no better",)


@pytest.mark.parametrize(("schedule", "wanted"), [("alternating", [4, 4]), ("frozen", [0, 4])])
def test_each_tower_has_the_rate_of_its_own_steps(
    run: Run, monkeypatch: pytest.MonkeyPatch, schedule: str, wanted: list[int]
) -> None:
    asked = []
    monkeypatch.setattr(trainer, "rate_of", lambda *given: asked.append(given) or rate_of(*given))
    run(schedule=schedule, accumulate=4, lr_schedule="linear", warmup=0.5)
    assert asked == [("linear", 0.5, steps) for steps in wanted]


def test_paper_dev_chooses_by_the_rows_it_reports(run: Run, cache: TeacherCache) -> None:
    _, result = run(protocol="paper-dev")
    assert result.protocol == "paper-dev"
    assert result.num_rows == {"train": 96, "select": 32, "report": 32}
    assert result.selection["value"] == result.metrics["student"]["accuracy"]
    assert result.notes == (
        "the reported rows chose the checkpoint: the best of its epochs, as in the authors' code",
    )
