import numpy as np
import pytest

from distill.metrics import majority_outputs, measure, predictions, probabilities
from schemas.tasks import LabelKind

LABELS = np.array([0, 0, 0, 1])
LOGITS = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])


def test_classes() -> None:
    metrics = measure(LabelKind.SINGLE, LABELS, LOGITS)
    assert metrics["accuracy"] == 0.75
    assert metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert metrics["matthews"] == pytest.approx((2 * 1 - 1 * 0) / np.sqrt(3 * 1 * 2 * 2))


def test_regression() -> None:
    targets = np.array([1.0, 2.0, 3.0])
    assert measure(LabelKind.REGRESSION, targets, targets[:, None] * 2 + 1) == pytest.approx(
        {"pearson": 1.0, "spearman": 1.0}
    )
    assert measure(LabelKind.REGRESSION, targets, np.zeros((3, 1))) == {"pearson": 0.0, "spearman": 0.0}


def test_several_classes_are_cut_at_one_half() -> None:
    outputs = np.array([[0.1, -0.1], [-5.0, 5.0]])
    assert predictions(LabelKind.MULTI, outputs).tolist() == [[1, 0], [0, 1]]
    assert probabilities(LabelKind.MULTI, np.zeros((1, 2))).tolist() == [[0.5, 0.5]]


def test_probabilities_sum_to_one() -> None:
    assert probabilities(LabelKind.SINGLE, LOGITS).sum(axis=1) == pytest.approx(np.ones(4))
    assert probabilities(LabelKind.REGRESSION, LOGITS[:, :1]) is None


def test_majority_knows_the_training_labels_only() -> None:
    guess = majority_outputs(LabelKind.SINGLE, np.array([1, 1, 0]), 4, 2)
    assert measure(LabelKind.SINGLE, LABELS, guess)["accuracy"] == 0.25
