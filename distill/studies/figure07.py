"""Figure 7: the states of undistilled student, distilled student and aligner in a plane, by gold class."""

from dataclasses import replace

from distill.studies.pairs import ARMADA, PAIR_CELLS, pairs_of
from distill.studies.study import UNDISTILLED, Analysed, Key, Runs, Study

_TOWERS = {UNDISTILLED: "undistilled", ARMADA: "distilled"}
Points = dict[str, tuple[tuple[float, float, str], ...]]


def layouts(runs: Runs) -> Analysed:
    """t-SNE of the first seed's states, and the purity of two clusters for every seed."""
    from distill.analyses.pair import open_pair
    from distill.analyses.separation import purity
    from distill.analyses.tsne import tsne
    from schemas.cache import open_cache

    values: dict[Key, dict[int, float]] = {}
    points: Points = {}
    for key, seed, made, twin in pairs_of(runs):
        pair = open_pair(made.folder, twin.folder, open_cache(made.cache, verify=False))
        answers = pair.answers
        right = {"distilled": answers.distilled_right_R, "undistilled": answers.undistilled_right_R}
        for variant, tower in _TOWERS.items():
            labels = {"purity by gold class": answers.classes_R, "purity by being right": right[tower]}
            for metric, labels_R in labels.items():
                teacher = key.teacher if variant == ARMADA else ""
                number = replace(key, teacher=teacher, variant=variant, metric=metric)
                values.setdefault(number, {})[seed] = purity(pair.states[tower], labels_R)
        for tower, states_RD in pair.states.items():
            classes = [answers.task.classes[index] for index in answers.classes_R.tolist()]
            if f"{key.task}, {tower}" not in points:
                flat = zip(*tsne(states_RD).T.tolist(), classes, strict=True)
                points[f"{key.task}, {tower}"] = tuple(flat)
    return Analysed(values, points=points)


FIGURE07 = Study(
    name="figure07",
    title="States of undistilled student, distilled student and aligner",
    cells=PAIR_CELLS,
    analyse=layouts,
    claims=(
        (
            "The text gives the purity of two k-means clusters for BERT-base: CoLA from 0.77 to 0.81, COPA "
            "from 0.56 to 0.68. Whether its labels are the gold classes or the answers' being right is "
            "unclear: both are here."
        ),
    ),
    plot="points",
)
