"""Figure 8: where one student alone is right: rows in the plane, and how far from their class they lie."""

from typing import TYPE_CHECKING

from distill.studies.pairs import PAIR_CELLS, TOWERS, number_of, over_pairs
from distill.studies.study import Analysed, Key, Runs, Study

if TYPE_CHECKING:
    from distill.analyses.pair import Pair


def scenarios(runs: Runs) -> Analysed:
    """Rows and mean distance to the class centroid by scenario; t-SNE of the first seed's rows."""
    return over_pairs(runs, _count)


def _count(key: Key, seed: int, pair: "Pair", found: Analysed) -> None:
    from distill.analyses.separation import centroid_distance
    from distill.analyses.tsne import tsne

    for variant, tower in TOWERS.items():
        distances_R = centroid_distance(pair.states[tower], pair.answers.classes_R)
        name = f"{key.task}, {tower}"
        flat = None if name in found.points else tsne(pair.states[tower]).tolist()
        points: list[tuple[float, float, str]] = []
        for scenario, rows_R in pair.answers.scenarios.items():
            whole = f"{variant}/scenario-{scenario}"
            found.values.setdefault(number_of(key, variant, whole, "rows"), {})[seed] = float(rows_R.sum())
            if rows_R.any():
                number = number_of(key, variant, whole, "centroid distance")
                found.values.setdefault(number, {})[seed] = float(distances_R[rows_R].mean())
            if flat:
                points += [(*flat[row], f"scenario {scenario}") for row in rows_R.nonzero()[0].tolist()]
        if flat:
            found.points[name] = points


FIGURE08 = Study(
    name="figure08",
    title="Rows that one student alone gets right",
    cells=PAIR_CELLS,
    analyse=scenarios,
    claims=(
        (
            "Scenario 1: ARMADA is right and the undistilled student wrong; scenario 2: the reverse. Table "
            "15 gives the cosine distance to the class centroid for four examples picked by hand; here it is "
            "the mean over all rows."
        ),
    ),
    plot="points",
)
