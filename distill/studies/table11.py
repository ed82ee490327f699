"""Table 11: a deeper aligner without projection and auxiliary head, of at least as many parameters."""

from distill.studies.grids import SMALL_TASKS, STABLE_DIFFUSION, aligner, losses, undistilled
from distill.studies.questions import against_baseline, whole_against
from distill.studies.study import LOSSES, Study

_MODELS, _WAY = ("bert-base",), "capacity-matched"

TABLE11 = Study(
    name="table11",
    title="Capacity-matched aligner, BERT-base on the small tasks",
    cells=(
        *aligner(_WAY, STABLE_DIFFUSION, "bert-base", SMALL_TASKS, aligner=_WAY),
        *undistilled(_MODELS, SMALL_TASKS),
        *losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS, suffix=f"/{_WAY}", aligner=_WAY),
        *losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS),
    ),
    prints=("table11", "table02"),
    questions=(whole_against(f"/{_WAY}"), against_baseline([f"{loss}/{_WAY}" for loss in LOSSES])),
    claims=(
        "The text gives 2.8 less than the full aligner on average, p below 0.05.",
        "The aligner's COPA is printed as 54/0 and taken as 54.0.",
        (
            "Without a projection the manifold term stands between the aligner's state and a plain linear "
            "map of the student's: our reading, so that there is a row for each loss."
        ),
    ),
)
