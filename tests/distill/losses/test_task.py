import math

import numpy as np
import pytest
import torch

from distill.losses.task import (
    TASK_LOSSES,
    binary_cross_entropy_loss,
    cross_entropy_loss,
    squared_error_loss,
)
from schemas.errors import ShapeError
from schemas.tasks import LabelKind


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0]]).log()
    assert cross_entropy_loss(logits, torch.tensor([1])).item() == pytest.approx(math.log(4), abs=1e-6)


def test_squared_error_by_hand() -> None:
    value = squared_error_loss(torch.tensor([[1.0], [-2.0]]), torch.tensor([0.0, 1.0]))
    assert value.item() == pytest.approx(5.0)


def test_binary_cross_entropy_by_hand() -> None:
    value = binary_cross_entropy_loss(torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 1]]))
    assert value.item() == pytest.approx(math.log(2), abs=1e-6)


def test_agree_with_independent_arithmetic() -> None:
    generator = np.random.default_rng(0)
    logits, ids = generator.normal(size=(9, 4)) * 3, generator.integers(0, 4, 9)
    flags = generator.integers(0, 2, (9, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    cross = -np.log(probabilities[np.arange(9), ids]).mean()
    sigmoids = 1 / (1 + np.exp(-logits))
    binary = -np.where(flags, np.log(sigmoids), np.log(1 - sigmoids)).mean()
    tensor = torch.from_numpy(logits)
    assert cross_entropy_loss(tensor, torch.from_numpy(ids)).item() == pytest.approx(cross, abs=1e-6)
    assert binary_cross_entropy_loss(tensor, torch.from_numpy(flags)).item() == pytest.approx(
        binary, abs=1e-6
    )
    squared = ((logits[:, 0] - logits[:, 1]) ** 2).mean()
    assert squared_error_loss(tensor[:, :1], tensor[:, 1]).item() == pytest.approx(squared, abs=1e-6)


def test_zero_where_the_answer_is_certain() -> None:
    sure = torch.tensor([[1e4, 0.0]])
    assert cross_entropy_loss(sure, torch.tensor([0])).item() == 0
    assert binary_cross_entropy_loss(sure - 5e3, torch.tensor([[1.0, 0.0]])).item() == 0
    assert squared_error_loss(sure[:, :1], sure[:, 0]).item() == 0


@pytest.mark.parametrize("kind", list(TASK_LOSSES))
def test_finite_in_bfloat16(kind: LabelKind) -> None:
    logits = torch.tensor([[300.0, -300.0]], dtype=torch.bfloat16)[
        :, : 1 if kind is LabelKind.REGRESSION else 2
    ]
    labels = {
        LabelKind.SINGLE: torch.tensor([1]),
        LabelKind.MULTI: torch.tensor([[0.0, 1.0]]),
        LabelKind.REGRESSION: torch.tensor([0.5]),
    }[kind]
    value = TASK_LOSSES[kind](logits.requires_grad_(), labels)
    assert value.dtype == torch.float32
    assert value.isfinite()


@pytest.mark.parametrize("kind", list(TASK_LOSSES))
def test_refuses_labels_of_another_shape(kind: LabelKind) -> None:
    with pytest.raises(ShapeError, match="labels"):
        TASK_LOSSES[kind](torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64))
