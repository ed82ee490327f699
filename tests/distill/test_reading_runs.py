"""Whole small trainings under every reading of the aligner, with either formulation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distill import classifying
from distill.config import resolve
from distill.student import Student
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.result import RunResult

Run = Callable[..., tuple[Path, RunResult]]
SMALL = {"epochs": 2, "batch_size": 16, "lr": 1e-3, "max_length": 32, "precision": "fp32", "hidden_dim": 20}
NORMS = {"student/student_norm", "student/aligner_norm"}


@pytest.fixture
def run(cache: TeacherCache, tiny_student: Path, tmp_path: Path) -> Run:
    def make(**given: Any) -> tuple[Path, RunResult]:
        options = {"task": "movie-sentiment", "student": str(tiny_student), **SMALL, **given}
        return tmp_path, fit(resolve(options, "audio"), cache, tmp_path, quiet=True)

    return make


def steps(folder: Path, tower: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [step for step in lines if f"{tower}/total" in step]


@pytest.mark.parametrize("manifold", ["cosine", "euclid", "elementwise", "none"])
@pytest.mark.parametrize(
    ("aligner", "formulation"),
    [("reference", "paper"), ("paper", "reference"), ("paper", "paper"), ("capacity-matched", "reference")],
)
def test_every_reading_trains(run: Run, aligner: str, formulation: str, manifold: str) -> None:
    folder, result = run(
        aligner=aligner, formulation=formulation, manifold=manifold, lr=1e-2, aligner_lr=3e-2
    )
    auxiliary = aligner != "capacity-matched"
    heads = {"student", "aligner", *(("student_aux", "aligner_aux") if auxiliary else ())}
    assert set(result.metrics) == {*heads, "majority"}
    learnt = [step["aligner/task"] for step in steps(folder, "aligner")]
    assert learnt[-1] < learnt[0] - 0.05
    terms = {"task", "match", "total", *(("task_aux", "match_aux") if auxiliary else ())}
    terms |= {"manifold"} if manifold != "none" else set()
    unbounded = (formulation, manifold) == ("paper", "cosine")
    for step in steps(folder, "student"):
        assert set(step) - {"epoch", "step"} - NORMS == {f"student/{term}" for term in terms}
        assert (set(step) >= NORMS) is unbounded
    assert bool(result.notes) is unbounded


def test_paper_keeps_both_projections_orthogonal_through_training(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    students: list[Student] = []

    def keep(*arguments: Any, **settings: Any) -> Student:
        students.append(Student(*arguments, **settings))
        return students[-1]

    monkeypatch.setattr(classifying, "Student", keep)
    folder, _ = run(aligner="paper", formulation="paper", manifold_dim=24, lr=1e-2)
    projection = students[0].projection
    assert projection is not None
    for weight in (projection.weight, load_file(folder / "aligner.safetensors")["projection.weight"]):
        gram = weight.detach().T @ weight.detach()
        assert (gram - torch.eye(len(gram))).abs().max() < 1e-5


def test_gamma_0_has_no_auxiliary_heads(run: Run) -> None:
    folder, result = run(gamma=0.0)
    assert set(result.metrics) == {"student", "aligner", "majority"}
    assert not [name for name in load_file(folder / "aligner.safetensors") if name.startswith("aux_head")]
