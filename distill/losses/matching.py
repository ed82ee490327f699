"""How near the student's outputs are to the aligner's.

Letters: B batch, C outputs (classes, or 1 for regression).
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor
from torch.linalg import vector_norm

from distill.losses.pair import comparable
from distill.means import WHOLE, Means
from distill.rules import Formulation
from schemas.tasks import LabelKind

Phi = Callable[[Tensor], Tensor]


class MatchingLoss(Protocol):
    """From two towers' outputs, (B, C), to a scalar."""

    def __call__(
        self, student_BC: Tensor, aligner_BC: Tensor, temperature: float, phi: Phi, means: Means = WHOLE
    ) -> Tensor:
        """Say how far apart they are."""
        ...


def softmax(logits_BC: Tensor) -> Tensor:
    """Probabilities of exclusive classes.

    Args:
        logits_BC: float, (B, C).

    Returns:
        Probabilities that sum to 1 over C, (B, C).
    """
    return logits_BC.softmax(dim=-1)


def sigmoid(logits_BC: Tensor) -> Tensor:
    """Probabilities of independent classes.

    Args:
        logits_BC: float, (B, C).

    Returns:
        Probabilities, each in (0, 1), (B, C).
    """
    return logits_BC.sigmoid()


def identity(predictions_BC: Tensor) -> Tensor:
    """Predictions of a regression, as they are.

    Args:
        predictions_BC: float, (B, C).

    Returns:
        The same tensor.
    """
    return predictions_BC


def match_loss(
    student_BC: Tensor, aligner_BC: Tensor, temperature: float, phi: Phi, means: Means = WHOLE
) -> Tensor:
    """Give the student the aligner's softened outputs as a second label.

    Mean over B and C of (phi(student / temperature) minus phi(aligner / temperature)) squared, times
    temperature squared. With the identity as phi the temperature cancels, as in the authors' regression.

    Args:
        student_BC: student logits or predictions, float, (B, C).
        aligner_BC: aligner logits or predictions, float, (B, C), treated as constant.
        temperature: > 0; the higher, the softer the outputs.
        phi: from logits to what is compared.
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 2, reference formulation; docs/paper-map.md.
    """
    student_BC, aligner_BC = comparable(student_BC, aligner_BC)
    gap_BC = phi(student_BC / temperature) - phi(aligner_BC / temperature)
    return means.of_rows(gap_BC.square().mean(dim=1)) * temperature**2


def paper_match_loss(
    student_BC: Tensor, aligner_BC: Tensor, temperature: float, phi: Phi, means: Means = WHOLE
) -> Tensor:
    """Give the student the aligner's softened outputs as a second label, by distance.

    Mean over B of the length over C of (phi(student / temperature) minus phi(aligner / temperature)).

    Args:
        student_BC: student logits or predictions, float, (B, C).
        aligner_BC: aligner logits or predictions, float, (B, C), treated as constant.
        temperature: > 0; the higher, the softer the outputs.
        phi: from logits to what is compared.
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 2, paper formulation; docs/paper-map.md.
    """
    student_BC, aligner_BC = comparable(student_BC, aligner_BC)
    gap_BC = phi(student_BC / temperature) - phi(aligner_BC / temperature)
    return means.of_rows(vector_norm(gap_BC, dim=1))


PHIS: dict[LabelKind, Phi] = {
    LabelKind.SINGLE: softmax,
    LabelKind.MULTI: sigmoid,
    LabelKind.REGRESSION: identity,
}

MATCHING_LOSSES: dict[Formulation, MatchingLoss] = {
    Formulation.REFERENCE: match_loss,
    Formulation.PAPER: paper_match_loss,
}
