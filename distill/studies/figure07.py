"""Figure 7: the states of undistilled student, distilled student and aligner in a plane, by gold class."""

from typing import TYPE_CHECKING

from distill.studies.pairs import PAIR_CELLS, TOWERS, number_of, over_pairs
from distill.studies.study import Analysed, Key, Runs, Study

if TYPE_CHECKING:
    from distill.analyses.pair import Pair


def layouts(runs: Runs) -> Analysed:
    """t-SNE of the first seed's states, and the purity of two clusters for every seed."""
    return over_pairs(runs, _layout, aligner=True)


def _layout(key: Key, seed: int, pair: "Pair", found: Analysed) -> None:
    from distill.analyses.separation import purity
    from distill.analyses.tsne import tsne

    answers = pair.answers
    right = {"distilled": answers.distilled_right_R, "undistilled": answers.undistilled_right_R}
    for variant, tower in TOWERS.items():
        labels = {"purity by gold class": answers.classes_R, "purity by being right": right[tower]}
        for metric, labels_R in labels.items():
            number = number_of(key, variant, variant, metric)
            found.values.setdefault(number, {})[seed] = purity(pair.states[tower], labels_R)
    classes = [answers.task.classes[index] for index in answers.classes_R.tolist()]
    for tower, states_RD in pair.states.items():
        if (name := f"{key.task}, {tower}") not in found.points:
            found.points[name] = [
                (*point, one) for point, one in zip(tsne(states_RD).tolist(), classes, strict=True)
            ]


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
