import numpy as np
import pytest

from distill.metrics import METRICS, majority_outputs, measure, predictions, probabilities
from schemas.tasks import LabelKind, TaskSpec

LABELS = np.array([0, 0, 0, 1])
LOGITS = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])


def task(kind: LabelKind, value_range: tuple[float, float] | None = None) -> TaskSpec:
    return TaskSpec(name="made", fields=(), label_kind=kind, metric="", value_range=value_range)


def test_classes() -> None:
    metrics = measure(task(LabelKind.SINGLE), LABELS, LOGITS)
    assert metrics["accuracy"] == 0.75
    assert metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert metrics["matthews"] == pytest.approx((2 * 1 - 1 * 0) / np.sqrt(3 * 1 * 2 * 2))


def test_one_class_alone_is_no_warning() -> None:
    metrics = measure(task(LabelKind.SINGLE), np.zeros(4, int), np.array([[1.0, 0.0]] * 4))
    assert (metrics["accuracy"], metrics["matthews"]) == (1.0, 0.0)


def test_regression() -> None:
    targets = np.array([1.0, 2.0, 3.0])
    assert measure(task(LabelKind.REGRESSION), targets, targets[:, None] * 2 + 1) == pytest.approx(
        {"pearson": 1.0, "spearman": 1.0}
    )
    assert measure(task(LabelKind.REGRESSION), targets, np.zeros((3, 1))) == {"pearson": 0.0, "spearman": 0.0}


def test_several_classes_are_cut_at_one_half() -> None:
    outputs = np.array([[0.1, -0.1], [-5.0, 5.0]])
    assert predictions(task(LabelKind.MULTI), outputs).tolist() == [[1, 0], [0, 1]]
    assert probabilities(LabelKind.MULTI, np.zeros((1, 2))).tolist() == [[0.5, 0.5]]


def test_probabilities_sum_to_one() -> None:
    assert probabilities(LabelKind.SINGLE, LOGITS).sum(axis=1) == pytest.approx(np.ones(4))
    assert probabilities(LabelKind.REGRESSION, LOGITS[:, :1]) is None


def test_majority_knows_the_training_labels_only() -> None:
    guess = majority_outputs(LabelKind.SINGLE, np.array([1, 1, 0]), 4, 2)
    assert measure(task(LabelKind.SINGLE), LABELS, guess)["accuracy"] == 0.25


def test_numbers_are_clipped_to_the_range() -> None:
    outputs = np.array([[-7.0], [1.5], [9.0]])
    assert predictions(task(LabelKind.REGRESSION, (-4.0, 4.0)), outputs).tolist() == [-4.0, 1.5, 4.0]
    targets = np.array([-4.0, 1.5, 4.0])
    assert measure(task(LabelKind.REGRESSION, (-4.0, 4.0)), targets, outputs)["pearson"] == pytest.approx(1.0)
    assert measure(task(LabelKind.REGRESSION), targets, outputs)["pearson"] < 0.999


def test_f1_of_several_classes_by_hand() -> None:
    labels = np.array([[1, 0], [1, 1], [0, 0]])
    outputs = np.array([[2.0, 1.0], [-1.0, 3.0], [-2.0, -0.5]])
    metrics = measure(task(LabelKind.MULTI), labels, outputs)
    # Class 0: one hit, one miss; class 1: one hit, one false alarm. Together 2 hits, 1 miss, 1 false alarm.
    assert metrics["micro_f1"] == pytest.approx(2 / 3)
    assert metrics["macro_f1"] == pytest.approx(2 / 3)
    assert metrics["accuracy"] == pytest.approx(1 / 3)


def test_what_scikit_learn_and_scipy_say_themselves() -> None:
    from scipy import stats
    from sklearn import metrics

    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 3, 200), random.normal(size=(200, 3))
    said = logits.argmax(axis=1)
    assert measure(task(LabelKind.SINGLE), labels, logits) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(labels, said),
            "macro_f1": metrics.f1_score(labels, said, average="macro"),
            "matthews": metrics.matthews_corrcoef(labels, said),
        }
    )
    genres, logits = random.integers(0, 2, (200, 5)), random.normal(size=(200, 5))
    # One genre that no film has and that is never said, as the rarest ones of a small set.
    genres[:, 4], logits[:, 4] = 0, -1
    said = (logits > 0).astype(int)
    assert measure(task(LabelKind.MULTI), genres, logits) == pytest.approx(
        {
            "micro_f1": metrics.f1_score(genres, said, average="micro"),
            "macro_f1": metrics.f1_score(genres, said, average="macro", zero_division=0),
            "accuracy": metrics.accuracy_score(genres, said),
        }
    )
    scores, numbers = random.uniform(0, 5, 200), random.normal(2, 3, (200, 1))
    clipped = numbers[:, 0].clip(0, 5)
    assert measure(task(LabelKind.REGRESSION, (0.0, 5.0)), scores, numbers) == pytest.approx(
        {"pearson": stats.pearsonr(scores, clipped)[0], "spearman": stats.spearmanr(scores, clipped)[0]}
    )


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_constant_but_for_rounding_has_no_correlation(name: str) -> None:
    labels = np.array([0.0, 1.0, 2.0, 3.0])
    predicted = np.float32(0.7) + np.array([0, 6e-8, -6e-8, 1.2e-7], np.float32)
    assert METRICS[name](labels, predicted) == 0
    assert METRICS[name](labels, predicted + np.array([0, 1e-3, 2e-3, 3e-3])) > 0.9
