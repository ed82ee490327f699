"""How well the classes of a task lie apart in a student's states.

Letters: R rows, D width of the states, S rows of a scenario.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import AnalysisError

Floats = NDArray[np.floating]
Labels = NDArray[np.generic]


def silhouette(states_SD: Floats, classes_S: Labels, what: str) -> float:
    """How much nearer rows are to their own gold class than to the next one.

    Mean over S of (b - a) / max(a, b), a the mean Euclidean distance to the rows of the same class, b to
    those of the nearest other class; a row alone in its class counts 0.

    The rows are those of one scenario, among themselves: the paper prints 0.31 where every answer of the
    student is wrong, which rows set against the classes of the whole split could not reach. It follows that
    two classes that a student tells apart and names the wrong way round lie apart here.

    Args:
        states_SD: of a scenario's rows, (S, D).
        classes_S: their gold classes, (S,).
        what: is said in the message, such as `scenario 1`.

    Returns:
        From -1 to 1; above 0 where classes lie apart.

    Raises:
        AnalysisError: too few rows, or all of one class.

    Source: arXiv 2603.10877, Table 14, our reading; Rousseeuw, J. Comput. Appl. Math. 20, 1987.
    """
    from sklearn.metrics import silhouette_score

    num_rows, num_classes = len(classes_S), len(np.unique(classes_S))
    if not 2 <= num_classes < num_rows:
        raise AnalysisError(
            f"{what}: {num_rows} rows of {num_classes} classes, wanted rows of at least two classes and more "
            "rows than classes for a silhouette; report on more rows"
        )
    return float(silhouette_score(states_SD, classes_S))


def centroid_distance(states_RD: Floats, classes_R: Labels) -> NDArray[np.float64]:
    """How far each row lies from the middle of its gold class.

    One minus the cosine of the row's state and the mean state of all rows of its class, itself among them.

    Args:
        states_RD: of all reported rows, (R, D).
        classes_R: their gold classes, (R,).

    Returns:
        (R,), from 0 to 2.

    Source: arXiv 2603.10877, Table 15.
    """
    from sklearn.metrics.pairwise import paired_cosine_distances

    values_RD = states_RD.astype(np.float64)
    _, members_R = np.unique(classes_R, return_inverse=True)
    means = np.stack([values_RD[members_R == one].mean(axis=0) for one in range(members_R.max() + 1)])
    return paired_cosine_distances(values_RD, means[members_R])


def purity(states_RD: Floats, labels_R: Labels, *, num_clusters: int = 2, seed: int = 0) -> float:
    """Share of rows that carry the commonest label of their cluster, by k-means.

    Which label the paper means, the gold class or the prediction being right, is not said: give either.

    Args:
        states_RD: (R, D).
        labels_R: (R,).
        num_clusters: K.
        seed: of the first centres; the best of ten starts counts.

    Returns:
        From 1 / number of labels to 1.

    Raises:
        AnalysisError: fewer different rows than clusters.

    Source: arXiv 2603.10877, section 5, K = 2.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if (different := len(np.unique(states_RD, axis=0))) < num_clusters:
        raise AnalysisError(
            f"k-means with {num_clusters} clusters: {different} different states of {len(states_RD)} rows, "
            "wanted at least as many as clusters; report on more rows"
        )
    how: Any = {"n_init": 10, "random_state": seed}
    # Several threads add in the order that they finish in.
    with threadpool_limits(1):
        clusters_R = KMeans(num_clusters, **how).fit_predict(states_RD)
    _, members_R = np.unique(labels_R, return_inverse=True)
    counts = [np.bincount(members_R[clusters_R == cluster]).max() for cluster in range(num_clusters)]
    return int(sum(counts)) / len(labels_R)
