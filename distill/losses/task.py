"""How far a tower's outputs are from the labels.

Letters: B batch, C outputs (classes, or 1 for regression).
"""

from typing import Protocol

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from distill.means import WHOLE, Means
from schemas.errors import ShapeError
from schemas.tasks import LabelKind


class TaskLoss(Protocol):
    """From outputs, (B, C), and labels to a scalar."""

    def __call__(self, outputs: Tensor, labels: Tensor, /, means: Means = WHOLE) -> Tensor:
        """Say how wrong the outputs are."""
        ...


def cross_entropy_loss(logits_BC: Tensor, labels_B: Tensor, means: Means = WHOLE) -> Tensor:
    """Learn which of C exclusive classes is right.

    Mean over B of minus the log-probability of the label.

    Args:
        logits_BC: float, (B, C).
        labels_B: class ids, int64, (B,).
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, nats.

    Raises:
        ShapeError: the batch sizes differ.

    Source: arXiv 2603.10877, section 3.3, L_T of classification.
    """
    _check(logits_BC, labels_B, tuple(logits_BC.shape[:1]))
    return means.of_rows(cross_entropy(_full(logits_BC), labels_B, reduction="none"))


def squared_error_loss(predictions_B1: Tensor, targets_B: Tensor, means: Means = WHOLE) -> Tensor:
    """Learn a number in the task's own scale.

    Mean over B of (prediction minus target) squared.

    Args:
        predictions_B1: float, (B, 1).
        targets_B: float, (B,).
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, squared units of the target.

    Raises:
        ShapeError: the batch sizes differ, or there is more than one output.

    Source: arXiv 2603.10877, section 3.3, L_T of regression.
    """
    _check(predictions_B1, targets_B.unsqueeze(-1), tuple(predictions_B1.shape))
    predictions_B = _full(predictions_B1).squeeze(-1)
    return means.of_rows((predictions_B - targets_B.to(predictions_B.dtype)).square())


def binary_cross_entropy_loss(logits_BC: Tensor, labels_BC: Tensor, means: Means = WHOLE) -> Tensor:
    """Learn which of C independent classes hold.

    Mean over B and C of minus the log-probability of each class's yes or no.

    Args:
        logits_BC: float, (B, C).
        labels_BC: 0 or 1, float, (B, C).
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, nats.

    Raises:
        ShapeError: the two shapes differ.

    Source: ours, the paper names no loss for MM-IMDb; docs/paper-map.md.
    """
    _check(logits_BC, labels_BC, tuple(logits_BC.shape))
    logits_BC = _full(logits_BC)
    loss_BC = binary_cross_entropy_with_logits(logits_BC, labels_BC.to(logits_BC.dtype), reduction="none")
    return means.of_rows(loss_BC.mean(dim=1))


def _full(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype.itemsize >= 4 else tensor.float()


def _check(outputs: Tensor, labels: Tensor, wanted: tuple[int, ...]) -> None:
    if tuple(labels.shape) != wanted:
        raise ShapeError(
            f"labels {tuple(labels.shape)} do not fit outputs {tuple(outputs.shape)}, which want {wanted}; "
            "check that the cache's labels are of the task's kind"
        )


TASK_LOSSES: dict[LabelKind, TaskLoss] = {
    LabelKind.SINGLE: cross_entropy_loss,
    LabelKind.MULTI: binary_cross_entropy_loss,
    LabelKind.REGRESSION: squared_error_loss,
}
