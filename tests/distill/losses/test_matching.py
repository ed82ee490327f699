import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from distill.losses.matching import MATCHING_LOSSES, PHIS
from distill.rules import Formulation
from schemas.errors import ShapeError
from schemas.tasks import LabelKind

Array = NDArray[np.float64]
KINDS = list(PHIS)


def _phi(kind: LabelKind, logits: Array) -> Array:
    if kind is LabelKind.SINGLE:
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return 1 / (1 + np.exp(-logits)) if kind is LabelKind.MULTI else logits


def independent(
    formulation: Formulation, kind: LabelKind, student: Array, aligner: Array, temperature: float
) -> float:
    gap = _phi(kind, student / temperature) - _phi(kind, aligner / temperature)
    if formulation is Formulation.PAPER:
        return float(np.sqrt((gap**2).sum(1)).sum() / len(gap))
    return float((gap**2).sum() / gap.size * temperature**2)


def towers(seed: int, rows: int = 6, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, aligner = torch.randn(2, rows, classes, generator=generator, dtype=torch.float64) * 3
    return student, aligner


every_pair = pytest.mark.parametrize(
    ("formulation", "kind"), [(formulation, kind) for formulation in MATCHING_LOSSES for kind in KINDS]
)


@pytest.mark.parametrize(("formulation", "wanted"), [("reference", 4 * 0.0625), ("paper", 0.125**0.5)])
def test_number_computed_by_hand(formulation: str, wanted: float) -> None:
    # At temperature 2 the student's odds are 3 to 1 and the aligner's even: gaps of a quarter either way.
    student = 2 * torch.tensor([[3.0, 1.0]]).log()
    value = MATCHING_LOSSES[Formulation(formulation)](student, torch.zeros(1, 2), 2.0, PHIS[LabelKind.SINGLE])
    assert value.item() == pytest.approx(wanted, abs=1e-6)


@every_pair
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 9), temperature=st.floats(0.5, 10))
@settings(max_examples=30, deadline=None)
def test_agrees_with_independent_arithmetic(
    formulation: Formulation, kind: LabelKind, seed: int, rows: int, temperature: float
) -> None:
    student, aligner = towers(seed, rows)
    assert MATCHING_LOSSES[formulation](student, aligner, temperature, PHIS[kind]).item() == pytest.approx(
        independent(formulation, kind, student.numpy(), aligner.numpy(), temperature), abs=1e-6, rel=1e-6
    )


@every_pair
def test_zero_at_equality_with_finite_gradient(formulation: Formulation, kind: LabelKind) -> None:
    student = towers(0)[0].requires_grad_()
    value = MATCHING_LOSSES[formulation](student, student.detach().clone(), 5.0, PHIS[kind])
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("formulation", list(MATCHING_LOSSES))
def test_softmax_ignores_a_constant_added_to_all_logits(formulation: Formulation) -> None:
    student, aligner = towers(1)
    loss, phi = MATCHING_LOSSES[formulation], PHIS[LabelKind.SINGLE]
    assert loss(student + 4, aligner - 2, 5.0, phi).item() == pytest.approx(
        loss(student, aligner, 5.0, phi).item()
    )


def test_temperature_cancels_in_the_reference_regression() -> None:
    student, aligner = towers(2, classes=1)
    loss, phi = MATCHING_LOSSES[Formulation.REFERENCE], PHIS[LabelKind.REGRESSION]
    assert loss(student, aligner, 1.0, phi).item() == pytest.approx(loss(student, aligner, 5.0, phi).item())


def test_temperature_stays_in_the_papers_regression() -> None:
    student, aligner = towers(2, classes=1)
    loss, phi = MATCHING_LOSSES[Formulation.PAPER], PHIS[LabelKind.REGRESSION]
    assert loss(student, aligner, 5.0, phi).item() == pytest.approx(
        loss(student, aligner, 1.0, phi).item() / 5
    )


@every_pair
def test_gradient_reaches_the_student_only(formulation: Formulation, kind: LabelKind) -> None:
    student, aligner = (tensor.requires_grad_() for tensor in towers(3))
    MATCHING_LOSSES[formulation](student, aligner, 5.0, PHIS[kind]).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert aligner.grad is None


@every_pair
def test_finite_and_near_in_bfloat16(formulation: Formulation, kind: LabelKind) -> None:
    student, aligner = (tensor.mul(30).bfloat16() for tensor in towers(4, 32, 8))
    value = MATCHING_LOSSES[formulation](student, aligner, 5.0, PHIS[kind])
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(
        independent(formulation, kind, student.double().numpy(), aligner.double().numpy(), 5.0), rel=1e-4
    )


@pytest.mark.parametrize("formulation", list(MATCHING_LOSSES))
def test_refuses_two_shapes(formulation: Formulation) -> None:
    with pytest.raises(ShapeError, match=r"\(4, 3\) and aligner \(4, 2\)"):
        MATCHING_LOSSES[formulation](torch.zeros(4, 3), torch.zeros(4, 2), 1.0, PHIS[LabelKind.SINGLE])
