"""Table 5: the students of Table 2 beside another text-to-image teacher."""

from distill.studies.derived import best_of_losses
from distill.studies.grids import MIDJOURNEY, SMALL_TASKS, STABLE_DIFFUSION, losses, undistilled
from distill.studies.questions import against_baseline, loss_of, teacher_of, variance_over
from distill.studies.study import BEST, LOSSES, Study
from distill.studies.table02 import MODELS

TABLE05 = Study(
    name="table05",
    title="Students on the small tasks, teacher Midjourney, beside Table 2's teacher",
    cells=(
        *undistilled(MODELS, SMALL_TASKS),
        *losses(MODELS, MIDJOURNEY, SMALL_TASKS),
        *losses(MODELS, STABLE_DIFFUSION, SMALL_TASKS),
    ),
    prints=("table05", "table02"),
    derive=(best_of_losses(),),
    questions=(
        against_baseline(LOSSES, teacher=MIDJOURNEY),
        against_baseline((BEST,), teacher=MIDJOURNEY),
        variance_over("do the teachers differ?", teacher_of),
        variance_over("do the three losses differ?", loss_of),
    ),
    claims=(
        (
            "The text calls the difference between teachers not significant. With models and tasks taken out "
            "as blocks, the printed cells of Tables 2 and 5 give it p 1e-7, in favour of Stable Diffusion."
        ),
        "BERT-base is below undistilled on average under every single loss: -0.35, -0.36 and -0.68.",
        (
            "Under every loss below undistilled: BERT-6L on STS-B; BERT-base on RTE, STS-B and BoolQ; "
            "DeBERTa on CoLA, STS-B, COPA and WiC; OPT on MRPC and WiC."
        ),
    ),
)
