"""Figure 8: where one student alone is right: rows in the plane, and how far from their class they lie."""

from dataclasses import replace

from distill.studies.figure07 import Points
from distill.studies.pairs import ARMADA, PAIR_CELLS, pairs_of
from distill.studies.study import UNDISTILLED, Analysed, Key, Runs, Study

_TOWERS = {UNDISTILLED: "undistilled", ARMADA: "distilled"}


def scenarios(runs: Runs) -> Analysed:
    """Rows and mean distance to the class centroid by scenario; t-SNE of the first seed's rows."""
    from distill.analyses.pair import open_pair
    from distill.analyses.separation import centroid_distance
    from distill.analyses.tsne import tsne
    from schemas.cache import open_cache

    values: dict[Key, dict[int, float]] = {}
    points: Points = {}
    for key, seed, made, twin in pairs_of(runs):
        pair = open_pair(made.folder, twin.folder, open_cache(made.cache, verify=False), aligner=False)
        answers = pair.answers
        for variant, tower in _TOWERS.items():
            distances_R = centroid_distance(pair.states[tower], answers.classes_R)
            flat = tsne(pair.states[tower]).tolist() if f"{key.task}, {tower}" not in points else None
            found: list[tuple[float, float, str]] = []
            for scenario, rows_R in answers.scenarios.items():
                teacher = key.teacher if variant == ARMADA else ""
                number = replace(key, teacher=teacher, variant=f"{variant}/scenario-{scenario}")
                values.setdefault(replace(number, metric="rows"), {})[seed] = float(rows_R.sum())
                if rows_R.any():
                    distance = values.setdefault(replace(number, metric="centroid distance"), {})
                    distance[seed] = float(distances_R[rows_R].mean())
                if flat:
                    found += [(*flat[row], f"scenario {scenario}") for row in rows_R.nonzero()[0].tolist()]
            if flat:
                points[f"{key.task}, {tower}"] = tuple(found)
    return Analysed(values, points=points)


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
