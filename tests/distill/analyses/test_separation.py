import numpy as np
import pytest
from scipy.spatial.distance import cosine
from sklearn.metrics import silhouette_samples
from sklearn.metrics.cluster import contingency_matrix

from distill.analyses.separation import centroid_distance, purity, silhouette
from distill.analyses.tsne import tsne
from schemas.errors import AnalysisError

RANDOM = np.random.default_rng(0)
CLASSES = np.repeat([0, 3], 20)
STATES = RANDOM.normal(size=(40, 6)) + 4 * (CLASSES[:, None] == 3)


def test_silhouette_by_hand() -> None:
    # On a line: 0 and 1 of one class, 4 of the other. a = 1, 1, none; b = 4, 3, so (3/4 + 2/3 + 0) / 3.
    assert silhouette(np.array([[0.0], [1.0], [4.0]]), np.array([0, 0, 1]), "made") == pytest.approx(17 / 36)
    assert silhouette(STATES, CLASSES, "made") == pytest.approx(silhouette_samples(STATES, CLASSES).mean())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "scenario 1: 0 rows of 0 classes"),
        ([0], "scenario 1: 1 rows of 1 classes"),
        ([0, 1, 2], "scenario 1: 3 rows of 1 classes"),
        ([0, 39], "scenario 1: 2 rows of 2 classes, wanted .* more rows than classes"),
    ],
)
def test_too_small_a_scenario_says_so(rows: list[int], said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        silhouette(STATES[rows], CLASSES[rows], "scenario 1")


def test_centroid_distance_is_scipys_cosine_to_the_mean_of_the_class() -> None:
    found = centroid_distance(STATES.astype(np.float32), CLASSES)
    wanted = [
        cosine(state, STATES[one == CLASSES].mean(0)) for state, one in zip(STATES, CLASSES, strict=True)
    ]

    assert found == pytest.approx(wanted, abs=1e-6)


def test_purity_counts_the_commonest_label_of_each_cluster() -> None:
    labels = CLASSES.copy()
    labels[:5] = 3
    clusters = STATES.mean(1) > 2

    assert purity(STATES, CLASSES) == 1
    assert purity(STATES, labels) == contingency_matrix(labels, clusters).max(axis=0).sum() / 40 == 35 / 40
    assert purity(STATES, np.ones(40, bool)) == 1
    with pytest.raises(AnalysisError, match="k-means with 2 clusters: 1 different states of 4 rows"):
        purity(np.ones((4, 3)), np.array([0, 1, 0, 1]))


def test_tsne_keeps_neighbours_and_hangs_on_its_seed_alone() -> None:
    points = tsne(STATES, seed=1)

    assert points.shape == (40, 2)
    assert (points == tsne(STATES, seed=1)).all()
    assert silhouette(points, CLASSES, "made") > 0.5
    assert tsne(STATES[:5]).shape == (5, 2)
    with pytest.raises(AnalysisError, match="t-SNE of 4 rows: wanted at least 5"):
        tsne(STATES[:4])
