from dataclasses import replace

import pytest
import torch

from distill.config import DistillationConfig
from distill.losses.labelled import (
    aligner_objective,
    manifold_terms,
    student_objective,
    undistilled_objective,
)
from distill.losses.manifold import MANIFOLD_LOSSES
from distill.losses.objective import Objective
from distill.rules import Formulation
from distill.view import View
from schemas.errors import ConfigError
from schemas.tasks import LabelKind, TaskSpec, find_task

SINGLE = find_task("movie-sentiment")
LABELS = torch.tensor([0, 1, 1])
FULL = DistillationConfig(alpha=0.3, beta=2.0, gamma=0.5, temperature=4.0)


def view(seed: int) -> View:
    generator = torch.Generator().manual_seed(seed)
    logits, aux = torch.randn(2, 3, 2, generator=generator)
    return View(
        logits.requires_grad_(), aux.requires_grad_(), torch.randn(3, 5, generator=generator).requires_grad_()
    )


def names(objective: Objective) -> list[str]:
    return [term.name for term in objective.terms]


def test_a_manifold_loss_of_another_formulation_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(MANIFOLD_LOSSES, (Formulation.PAPER, "euclid"))
    assert [term.name for term in manifold_terms(replace(FULL, manifold="euclid"))] == ["manifold"]
    with pytest.raises(ConfigError) as caught:
        manifold_terms(replace(FULL, manifold="euclid", formulation=Formulation.PAPER))
    assert str(caught.value) == "--manifold euclid has no formulation paper; give --formulation reference"


@pytest.mark.parametrize("formulation", list(Formulation))
@pytest.mark.parametrize("manifold", ["cosine", "euclid", "elementwise"])
def test_total_is_the_weighted_sum_of_the_parts(formulation: Formulation, manifold: str) -> None:
    losses = student_objective(SINGLE, replace(FULL, formulation=formulation, manifold=manifold))(
        view(0), view(1), LABELS
    )
    part = {name: value.item() for name, value in losses.parts.items()}
    wanted = (
        0.7 * part["task"]
        + 0.3 * part["match"]
        + 0.5 * (0.7 * part["task_aux"] + 0.3 * part["match_aux"])
        + 2.0 * part["manifold"]
    )
    assert losses.total.item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"beta": 0.0}, ["task", "match", "task_aux", "match_aux"]),
        ({"manifold": "none"}, ["task", "match", "task_aux", "match_aux"]),
        ({"gamma": 0.0}, ["task", "match", "manifold"]),
        ({"alpha": 0.0}, ["task", "task_aux", "manifold"]),
        ({"alpha": 1.0}, ["match", "match_aux", "manifold"]),
        ({"alpha": 0.0, "beta": 0.0, "gamma": 0.0}, ["task"]),
    ],
)
def test_a_weight_of_zero_removes_the_term(change: dict[str, float], kept: list[str]) -> None:
    objective = student_objective(SINGLE, replace(FULL, **change))
    assert names(objective) == kept
    assert list(objective(view(0), view(1), LABELS).parts) == kept


def test_nothing_but_the_task_left_is_exactly_undistilled() -> None:
    bare = student_objective(SINGLE, replace(FULL, alpha=0.0, beta=0.0, gamma=0.0))
    total = bare(view(0), None, LABELS).total
    assert torch.equal(total, undistilled_objective(SINGLE)(view(0), None, LABELS).total)
    assert not bare.reads_aligner


@pytest.mark.parametrize(
    ("lowest", "formulation", "wanted"),
    [(0.0, "reference", True), (-4.0, "reference", False), (0.0, "paper", False)],
)
def test_relu_on_both_heads_of_both_towers_where_the_range_starts_at_0(
    lowest: float, formulation: str, wanted: bool
) -> None:
    task = TaskSpec(
        name="score",
        fields=("text",),
        label_kind=LabelKind.REGRESSION,
        value_range=(lowest, 5.0),
        metric="pearson",
    )
    how = replace(FULL, formulation=Formulation(formulation), beta=0.0)
    below, zero = (View(*torch.full((2, 3, 1), value)) for value in (-2.0, 0.0))
    targets = torch.tensor([0.0, 0.0, 0.0])
    losses = student_objective(task, how)(below, zero, targets)
    assert (losses.total.item() == 0) is wanted
    assert (student_objective(task, how)(zero, below, targets).total.item() == 0) is wanted
    assert (aligner_objective(task, how)(below, None, targets).total.item() == 0) is wanted
    assert undistilled_objective(task)(below, None, targets).total.item() == 4


def test_no_gradient_into_the_aligner_from_the_student() -> None:
    student, aligner = view(0), view(1)
    student_objective(SINGLE, FULL)(student, aligner, LABELS).total.backward()
    for part in ("logits_BC", "aux_logits_BC", "latent_BP"):
        assert getattr(student, part).grad.abs().sum() > 0
        assert getattr(aligner, part).grad is None


def test_aligner_learns_from_labels_alone() -> None:
    objective = aligner_objective(SINGLE, FULL)
    assert names(objective) == ["task", "task_aux"]
    assert not objective.reads_aligner
    losses = objective(view(2), None, LABELS)
    assert losses.total.item() == pytest.approx(
        losses.parts["task"].item() + 0.5 * losses.parts["task_aux"].item(), rel=1e-6
    )


@pytest.mark.parametrize("formulation", list(Formulation))
def test_finite_in_bfloat16(formulation: Formulation) -> None:
    student, aligner = (
        View(
            *(
                getattr(v, name).detach().mul(50).bfloat16()
                for name in ("logits_BC", "aux_logits_BC", "latent_BP")
            )
        )
        for v in (view(0), view(1))
    )
    losses = student_objective(SINGLE, replace(FULL, formulation=formulation))(student, aligner, LABELS)
    assert losses.total.isfinite()


def test_the_papers_cosine_reports_the_norms_of_both_means_and_does_not_sum_them() -> None:
    paper = replace(FULL, formulation=Formulation.PAPER, manifold="cosine")
    student, aligner = view(0), view(1)
    losses = student_objective(SINGLE, paper)(student, aligner, LABELS)
    for name, tower in (("student_norm", student), ("aligner_norm", aligner)):
        wanted = tower.latent_BP.mean(0).square().sum().sqrt().item()
        assert losses.parts[name].item() == pytest.approx(wanted, rel=1e-6)
    part = {name: value.item() for name, value in losses.parts.items()}
    assert losses.total.item() == pytest.approx(
        0.7 * part["task"]
        + 0.3 * part["match"]
        + 0.5 * (0.7 * part["task_aux"] + 0.3 * part["match_aux"])
        + 2.0 * part["manifold"],
        rel=1e-6,
    )
    for bounded in (replace(paper, manifold="euclid"), replace(paper, beta=0.0), FULL):
        assert "student_norm" not in student_objective(SINGLE, bounded)(student, aligner, LABELS).parts
