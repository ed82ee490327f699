"""Every measure of the paper's section 5 over one pair of runs, those that cannot be made with the reason.

Letters: R rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from distill.analyses.answers import Flags
from distill.analyses.pair import STUDENTS, Pair
from distill.analyses.separation import centroid_distance, purity, silhouette
from schemas.errors import AnalysisError


@dataclass(frozen=True, slots=True)
class Measure:
    """One number.

    Attributes:
        what: it is, in words.
        tower: whose states it is of.
        value: None where it cannot be made.
        reason: why not, in one line; None where it is made.
    """

    what: str
    tower: str
    value: float | None
    reason: str | None = None


def measures(pair: Pair, seed: int = 0) -> list[Measure]:
    """Silhouette and distance to the class centroid by scenario, and purity by both labels, of both students.

    Args:
        pair: of runs.
        seed: of k-means.

    Source: arXiv 2603.10877, Tables 14 and 15, and section 5 for the purity.
    """
    return [_measure(what, tower, make) for tower in STUDENTS for what, make in _questions(pair, tower, seed)]


def _measure(what: str, tower: str, make: Callable[[], float]) -> Measure:
    try:
        return Measure(what, tower, make())
    except AnalysisError as error:
        return Measure(what, tower, None, str(error))


def _questions(pair: Pair, tower: str, seed: int) -> Iterator[tuple[str, Callable[[], float]]]:
    answers, states_RD = pair.answers, pair.states[tower]
    for number, rows_R in answers.scenarios.items():
        name = f"scenario {number}"
        yield f"silhouette, {name}", partial(_silhouette, pair, tower, rows_R, name)
        yield f"distance to the class centroid, {name}", partial(_distance, pair, tower, rows_R, name)
    right_R = answers.distilled_right_R if tower == "distilled" else answers.undistilled_right_R
    yield "purity by gold class", lambda: purity(states_RD, answers.classes_R, seed=seed)
    yield "purity by being right", lambda: purity(states_RD, right_R, seed=seed)


def _silhouette(pair: Pair, tower: str, rows_R: Flags, name: str) -> float:
    return silhouette(pair.states[tower][rows_R], pair.answers.classes_R[rows_R], name)


def _distance(pair: Pair, tower: str, rows_R: Flags, name: str) -> float:
    """Mean over a scenario's rows; the centroids are those of all rows."""
    if not rows_R.any():
        raise AnalysisError(f"{name}: no row, so no distance; report on more rows")
    return float(centroid_distance(pair.states[tower], pair.answers.classes_R)[rows_R].mean())
