import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from distill.losses.manifold import MANIFOLD_LOSSES
from distill.rules import Formulation
from schemas.errors import ShapeError

REFERENCE, PAPER = Formulation.REFERENCE, Formulation.PAPER
Array = NDArray[np.float64]


def _cosine(a: Array, b: Array) -> float:
    return 1 - a.mean(0) @ b.mean(0) / (math.hypot(*a.mean(0)) * math.hypot(*b.mean(0)))


INDEPENDENT: dict[tuple[Formulation, str], Callable[[Array, Array], float]] = {
    (REFERENCE, "cosine"): _cosine,
    (REFERENCE, "euclid"): lambda a, b: ((a.mean(0) - b.mean(0)) ** 2).sum() / a.shape[1],
    (REFERENCE, "elementwise"): lambda a, b: ((a - b) ** 2).sum() / a.size,
    (PAPER, "cosine"): lambda a, b: 1 - a.mean(0) @ b.mean(0),
    (PAPER, "euclid"): lambda a, b: math.sqrt(((a.mean(0) - b.mean(0)) ** 2).sum()),
    (PAPER, "elementwise"): lambda a, b: np.sqrt(((a - b) ** 2).sum(1)).sum() / len(a),
}
# Student rows (1, 0) and (3, 0), aligner rows (0, 1) and (0, 5): centroids (2, 0) and (0, 3).
BY_HAND = {
    (REFERENCE, "cosine"): 1.0,
    (REFERENCE, "euclid"): (4 + 9) / 2,
    (REFERENCE, "elementwise"): (1 + 1 + 9 + 25) / 4,
    (PAPER, "cosine"): 1.0,
    (PAPER, "euclid"): math.sqrt(13),
    (PAPER, "elementwise"): (math.sqrt(2) + math.sqrt(34)) / 2,
}
every_loss = pytest.mark.parametrize("key", list(MANIFOLD_LOSSES), ids="-".join)
seeds = st.integers(0, 2**31)


def towers(seed: int, rows: int = 5, width: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, aligner = torch.randn(2, rows, width, generator=generator, dtype=torch.float64)
    return student, aligner


def test_both_formulations_have_every_loss() -> None:
    assert set(MANIFOLD_LOSSES) == set(INDEPENDENT) == set(BY_HAND)


@every_loss
def test_number_computed_by_hand(key: tuple[Formulation, str]) -> None:
    student, aligner = torch.tensor([[1.0, 0], [3, 0]]), torch.tensor([[0.0, 1], [0, 5]])
    assert MANIFOLD_LOSSES[key](student, aligner).item() == pytest.approx(BY_HAND[key], abs=1e-6)


@every_loss
@given(seed=seeds, rows=st.integers(1, 9), width=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_agrees_with_independent_arithmetic(
    key: tuple[Formulation, str], seed: int, rows: int, width: int
) -> None:
    student, aligner = towers(seed, rows, width)
    assert MANIFOLD_LOSSES[key](student, aligner).item() == pytest.approx(
        INDEPENDENT[key](student.numpy(), aligner.numpy()), abs=1e-6, rel=1e-6
    )


@every_loss
def test_zero_at_equality(key: tuple[Formulation, str]) -> None:
    student, _ = towers(0)
    student = student / student.mean(0).norm()  # the paper's cosine is zero for centroids of length 1 only
    assert MANIFOLD_LOSSES[key](student, student.clone()).item() == pytest.approx(0, abs=1e-12)


@every_loss
def test_order_of_the_batch_does_not_matter(key: tuple[Formulation, str]) -> None:
    student, aligner = towers(1)
    order = torch.randperm(len(student), generator=torch.Generator().manual_seed(0))
    loss = MANIFOLD_LOSSES[key]
    assert loss(student[order], aligner[order]).item() == pytest.approx(loss(student, aligner).item())


@pytest.mark.parametrize("key", [key for key in MANIFOLD_LOSSES if key[1] != "elementwise"], ids="-".join)
def test_centroid_losses_do_not_know_which_row_is_whose(key: tuple[Formulation, str]) -> None:
    student, aligner = towers(2)
    loss = MANIFOLD_LOSSES[key]
    assert loss(student.flip(0), aligner).item() == pytest.approx(loss(student, aligner).item())


@given(seed=seeds, scale=st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_reference_cosine_ignores_scale(seed: int, scale: float) -> None:
    student, aligner = towers(seed)
    loss = MANIFOLD_LOSSES[REFERENCE, "cosine"]
    assert loss(student * scale, aligner).item() == pytest.approx(loss(student, aligner).item(), abs=1e-6)


@pytest.mark.parametrize("key", [key for key in MANIFOLD_LOSSES if key[1] != "cosine"], ids="-".join)
def test_distances_ignore_translation(key: tuple[Formulation, str]) -> None:
    student, aligner = towers(3)
    loss = MANIFOLD_LOSSES[key]
    assert loss(student + 5, aligner + 5).item() == pytest.approx(loss(student, aligner).item())


@given(seed=seeds, rows=st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_paper_elementwise_is_at_least_euclid(seed: int, rows: int) -> None:
    student, aligner = towers(seed, rows)
    assert MANIFOLD_LOSSES[PAPER, "elementwise"](student, aligner) >= (
        MANIFOLD_LOSSES[PAPER, "euclid"](student, aligner) - 1e-12
    )


@given(seed=seeds, rows=st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_squared_euclid_bounds_the_angle(seed: int, rows: int) -> None:
    student, aligner = towers(seed, rows)
    lengths = student.mean(0).norm() * aligner.mean(0).norm()
    angle = MANIFOLD_LOSSES[REFERENCE, "cosine"](student, aligner)
    assert MANIFOLD_LOSSES[PAPER, "euclid"](student, aligner) ** 2 >= 2 * lengths * angle - 1e-9


@every_loss
def test_gradient_reaches_the_student_only(key: tuple[Formulation, str]) -> None:
    student, aligner = (tensor.requires_grad_() for tensor in towers(4))
    MANIFOLD_LOSSES[key](student, aligner).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert aligner.grad is None


@every_loss
def test_gradient_is_finite_at_equality(key: tuple[Formulation, str]) -> None:
    student = towers(5)[0].requires_grad_()
    MANIFOLD_LOSSES[key](student, student.detach().clone()).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@every_loss
def test_finite_and_near_in_bfloat16(key: tuple[Formulation, str]) -> None:
    student, aligner = (tensor.mul(100).bfloat16() for tensor in towers(6, 32, 1024))
    value = MANIFOLD_LOSSES[key](student, aligner)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(
        INDEPENDENT[key](student.double().numpy(), aligner.double().numpy()), rel=1e-4
    )


@every_loss
def test_refuses_two_shapes(key: tuple[Formulation, str]) -> None:
    with pytest.raises(ShapeError, match=r"\(4, 3\) and aligner \(4, 2\)"):
        MANIFOLD_LOSSES[key](torch.zeros(4, 3), torch.zeros(4, 2))
