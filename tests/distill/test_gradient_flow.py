"""Which parameters receive gradient from which term, as a table; and what is left when a weight is 0."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from distill.aligner import TSAligner, dims_of
from distill.config import DistillationConfig, resolve
from distill.losses.labelled import aligner_objective, student_objective
from distill.losses.objective import Objective
from distill.pretrained import load_backbone
from distill.student import Student
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.tasks import find_task

TASK = find_task("movie-sentiment")
TOKENS = {"input_ids": torch.tensor([[2, 7, 8, 3], [2, 9, 11, 3]]), "attention_mask": torch.ones(2, 4).long()}
LABELS = torch.tensor([0, 1])

ENCODER, HEAD, PROJECTION, AUX = (
    "aligner.encoder",
    "aligner.output_head",
    "aligner.projection",
    "aligner.aux_head",
)
BERT, CLASSIFIER = "student.backbone.bert", "student.backbone.classifier"
STUDENT_PROJECTION, STUDENT_AUX = "student.projection", "student.aux_head"

ALIGNER_TERMS = {
    "reference": {"task": {ENCODER, HEAD}, "task_aux": {PROJECTION, AUX}},
    "paper": {"task": {ENCODER, HEAD}, "task_aux": {ENCODER, PROJECTION, AUX}},
    "capacity-matched": {"task": {ENCODER, HEAD}},
}
# The same beside every aligner, and never into it.
STUDENT_TERMS = {
    "task": {BERT, CLASSIFIER},
    "match": {BERT, CLASSIFIER},
    "task_aux": {BERT, STUDENT_PROJECTION, STUDENT_AUX},
    "match_aux": {BERT, STUDENT_PROJECTION, STUDENT_AUX},
    "manifold": {BERT, STUDENT_PROJECTION},
}
every_reading = pytest.mark.parametrize("aligner", list(ALIGNER_TERMS))
every_formulation = pytest.mark.parametrize("formulation", ["reference", "paper"])
every_manifold = pytest.mark.parametrize("manifold", ["cosine", "euclid", "elementwise"])


@pytest.fixture
def towers(tiny_student: Path) -> Callable[..., tuple[nn.ModuleDict, DistillationConfig]]:
    def make(**given: Any) -> tuple[nn.ModuleDict, DistillationConfig]:
        how = resolve({"task": TASK.name, "student": "tiny", "hidden_dim": 16, **given}, "image").distillation
        assert how is not None
        torch.manual_seed(0)
        dims = dims_of(how, teacher=12, outputs=2)
        student = Student(load_backbone(str(tiny_student), TASK), dims.manifold, how.aligner)
        return nn.ModuleDict({"student": student, "aligner": TSAligner(dims, how.aligner)}).eval(), how

    return make


def flow(both: nn.ModuleDict, objective: Objective, learner: str) -> dict[str, set[str]]:
    """From the name of each term to the groups of parameters that it reaches, both towers with gradients."""
    groups = (ENCODER, HEAD, PROJECTION, AUX, BERT, CLASSIFIER, STUDENT_PROJECTION, STUDENT_AUX)
    reached = {}
    for term in objective.terms:
        both.zero_grad()
        aligner, student = both["aligner"](torch.randn(2, 12)), both["student"](**TOKENS)
        term.value(student if learner == "student" else aligner, aligner, LABELS).backward()
        named = [name for name, one in both.named_parameters() if one.grad is not None and one.grad.any()]
        assert all(name.startswith(groups) for name in named)
        reached[term.name] = {group for group in groups if any(name.startswith(group) for name in named)}
    return reached


@every_reading
@every_formulation
def test_what_the_aligner_learns_from(towers: Any, aligner: str, formulation: str) -> None:
    both, how = towers(aligner=aligner, formulation=formulation)
    assert flow(both, aligner_objective(TASK, how), "aligner") == ALIGNER_TERMS[aligner]


@every_manifold
@every_reading
@every_formulation
def test_what_the_student_learns_from(towers: Any, aligner: str, formulation: str, manifold: str) -> None:
    both, how = towers(aligner=aligner, formulation=formulation, manifold=manifold)
    wanted = {
        name: groups
        for name, groups in STUDENT_TERMS.items()
        if not name.endswith("_aux") or "task_aux" in ALIGNER_TERMS[aligner]
    }
    assert flow(both, student_objective(TASK, how), "student") == wanted


@pytest.fixture
def student_after(
    cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> Callable[..., dict[str, torch.Tensor]]:
    def run(name: str, **given: Any) -> dict[str, torch.Tensor]:
        small = {"epochs": 1, "batch_size": 16, "lr": 1e-3, "max_length": 32, "precision": "fp32"}
        options = {"task": TASK.name, "student": str(tiny_student), **small, **given}
        (tmp_path / name).mkdir()
        fit(resolve(options, "audio"), cache, tmp_path / name, quiet=True)
        return load_file(tmp_path / name / "student" / "model.safetensors")

    return run


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert set(first) == set(second)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_beta_0_removes_the_manifold_term_exactly(student_after: Any) -> None:
    without = student_after("none", manifold="none")
    assert same(student_after("zero", beta=0.0), without)
    assert not same(student_after("one", beta=1.0), without)


def test_gamma_0_reaches_no_auxiliary_head_and_leaves_none(towers: Any) -> None:
    both, how = towers(gamma=0.0)
    reached = set.union(*flow(both, student_objective(TASK, how), "student").values())
    reached |= set.union(*flow(both, aligner_objective(TASK, how), "aligner").values())
    assert not reached & {AUX, STUDENT_AUX}
    bare = TSAligner(dims_of(how, teacher=12, outputs=2), auxiliary=False)
    assert bare(torch.randn(2, 12)).aux_logits_BC is None


def test_all_at_0_is_the_undistilled_student_bit_for_bit(student_after: Any) -> None:
    alone = student_after("alone", method="undistilled")
    nothing = {"alpha": 0.0, "beta": 0.0, "gamma": 0.0}
    assert same(student_after("nothing", **nothing), alone)
    for name, value in (("alpha", 0.5), ("beta", 1.0), ("gamma", 1.0)):
        assert not same(student_after(name, **{**nothing, name: value}), alone)


def test_alpha_0_makes_the_aligner_matter_through_the_manifold_alone(student_after: Any) -> None:
    without = {"alpha": 0.0, "beta": 0.0}
    assert same(student_after("small", **without), student_after("large", **without, aligner_lr=0.1))
    assert not same(
        student_after("matched", alpha=0.5, beta=0.0, aligner_lr=1e-3),
        student_after("matched-too", alpha=0.5, beta=0.0, aligner_lr=0.1),
    )
