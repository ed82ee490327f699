"""Table 17: the teacher's representations shuffled across examples."""

from distill.studies.grids import SMALL_TASKS, STABLE_DIFFUSION, aligner, losses, undistilled
from distill.studies.questions import against_baseline, whole_against
from distill.studies.study import LOSSES, Study

_MODELS, _WAY = ("bert-base",), "shuffled-teacher"

TABLE17 = Study(
    name="table17",
    title="Shuffled representations, BERT-base on the small tasks",
    cells=(
        *aligner(_WAY, STABLE_DIFFUSION, "bert-base", SMALL_TASKS, control="shuffle"),
        *aligner("output-head", STABLE_DIFFUSION, "bert-base", SMALL_TASKS),
        *undistilled(_MODELS, SMALL_TASKS),
        *losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS, suffix=f"/{_WAY}", control="shuffle"),
        *losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS),
    ),
    prints=("table17", "table02", "table06"),
    questions=(
        whole_against(f"/{_WAY}"),
        whole_against(_WAY, whole="output-head"),
        against_baseline([f"{loss}/{_WAY}" for loss in LOSSES]),
    ),
    claims=(
        "The text gives 3.8 less for the aligner (p 0.08) and 1.8 less for the student (p 0.03).",
        (
            "The text has the student fall below undistilled; BoolQ does not (75.1). Only CoLA and WiC are "
            "below for every loss."
        ),
    ),
)
