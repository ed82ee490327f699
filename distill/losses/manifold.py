"""How near the student's batch lies to the aligner's in the shared space.

Letters: B batch, P manifold.
"""

from typing import Protocol

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import cosine_similarity, mse_loss

from distill.losses.pair import comparable
from distill.means import WHOLE, Means
from distill.rules import Formulation


class ManifoldLoss(Protocol):
    """From two projections, (B, P), to a scalar."""

    def __call__(self, student_BP: Tensor, aligner_BP: Tensor, means: Means = WHOLE) -> Tensor:
        """Say how far apart they are."""
        ...


def cosine_loss(student_BP: Tensor, aligner_BP: Tensor, means: Means = WHOLE) -> Tensor:
    """Turn the student's batch centroid towards the aligner's.

    One minus the cosine between (mean over B of student) and (mean over B of aligner).

    Args:
        student_BP: student projection, float, (B, P).
        aligner_BP: aligner projection, float, (B, P), treated as constant.
        means: how means over the batch are taken.

    Returns:
        Scalar in [0, 2], no unit.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 3, reference formulation; docs/paper-map.md.
    """
    student_BP, aligner_BP = comparable(student_BP, aligner_BP)
    return 1 - cosine_similarity(means.centroid(student_BP), means.centroid(aligner_BP), dim=0)


def euclid_loss(student_BP: Tensor, aligner_BP: Tensor, means: Means = WHOLE) -> Tensor:
    """Pull the two batch centroids together.

    Mean over P of (mean over B of student minus mean over B of aligner) squared.

    Args:
        student_BP: student projection, float, (B, P).
        aligner_BP: aligner projection, float, (B, P), treated as constant.
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, squared manifold units.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 4, reference formulation; docs/paper-map.md.
    """
    student_BP, aligner_BP = comparable(student_BP, aligner_BP)
    return mse_loss(means.centroid(student_BP), means.centroid(aligner_BP))


def elementwise_loss(student_BP: Tensor, aligner_BP: Tensor, means: Means = WHOLE) -> Tensor:
    """Pull each example of the student towards the same example of the aligner.

    Mean over B and P of (student minus aligner) squared.

    Args:
        student_BP: student projection, float, (B, P).
        aligner_BP: aligner projection, float, (B, P), treated as constant.
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, squared manifold units.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 5, reference formulation; docs/paper-map.md.
    """
    student_BP, aligner_BP = comparable(student_BP, aligner_BP)
    return means.of_rows((student_BP - aligner_BP).square().mean(dim=1))


def paper_cosine_loss(student_BP: Tensor, aligner_BP: Tensor, means: Means = WHOLE) -> Tensor:
    """Turn the student's batch centroid towards the aligner's, and stretch it: the paper does not normalise.

    One minus the inner product of (mean over B of student) and (mean over B of aligner).

    Args:
        student_BP: student projection, float, (B, P).
        aligner_BP: aligner projection, float, (B, P), treated as constant.
        means: how means over the batch are taken.

    Returns:
        Scalar without a lower bound, squared manifold units; 0 at equality only for centroids of length 1.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 3, paper formulation; docs/paper-map.md.
    """
    student_BP, aligner_BP = comparable(student_BP, aligner_BP)
    return 1 - means.centroid(student_BP) @ means.centroid(aligner_BP)


def paper_euclid_loss(student_BP: Tensor, aligner_BP: Tensor, means: Means = WHOLE) -> Tensor:
    """Pull the two batch centroids together, at a rate that does not fall with their distance.

    Length over P of (mean over B of student minus mean over B of aligner).

    Args:
        student_BP: student projection, float, (B, P).
        aligner_BP: aligner projection, float, (B, P), treated as constant.
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, manifold units.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 4, paper formulation; docs/paper-map.md.
    """
    student_BP, aligner_BP = comparable(student_BP, aligner_BP)
    return vector_norm(means.centroid(student_BP) - means.centroid(aligner_BP))


def paper_elementwise_loss(student_BP: Tensor, aligner_BP: Tensor, means: Means = WHOLE) -> Tensor:
    """Pull each example of the student towards the aligner's, far ones no harder than near ones.

    Mean over B of the length over P of (student minus aligner).

    Args:
        student_BP: student projection, float, (B, P).
        aligner_BP: aligner projection, float, (B, P), treated as constant.
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, manifold units; never below `paper_euclid_loss`.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, eq. 5, paper formulation; docs/paper-map.md.
    """
    student_BP, aligner_BP = comparable(student_BP, aligner_BP)
    return means.of_rows(vector_norm(student_BP - aligner_BP, dim=1))


def centroid_norm(latent_BP: Tensor, means: Means = WHOLE) -> Tensor:
    """Say how long a batch's mean is; the paper's cosine falls without end as the two means grow.

    Length over P of the mean over B.

    Args:
        latent_BP: projection of either tower, float, (B, P).
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, manifold units, without gradient.

    Source: ours; a run with the unnormalised eq. 3 reports it; docs/decisions/0001.
    """
    return vector_norm(means.centroid(latent_BP.detach().float()))


MANIFOLD_LOSSES: dict[tuple[Formulation, str], ManifoldLoss] = {
    (Formulation.REFERENCE, "cosine"): cosine_loss,
    (Formulation.REFERENCE, "euclid"): euclid_loss,
    (Formulation.REFERENCE, "elementwise"): elementwise_loss,
    (Formulation.PAPER, "cosine"): paper_cosine_loss,
    (Formulation.PAPER, "euclid"): paper_euclid_loss,
    (Formulation.PAPER, "elementwise"): paper_elementwise_loss,
}
