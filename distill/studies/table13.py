"""Table 13: LLaMA-3.1-8B, tuned on instructions beside teachers of three modalities."""

from distill.studies.derived import averages, best_of_losses
from distill.studies.grids import INSTRUCTION_TASKS, losses, undistilled
from distill.studies.questions import against_baseline, loss_of, teacher_of, variance_over
from distill.studies.study import BEST, LOSSES, Study
from distill.studies.table12 import TEACHERS

_MODELS = ("llama-3.1-8b",)

TABLE13 = Study(
    name="table13",
    title="LLaMA-3.1-8B tuned on instructions, teachers of three modalities",
    cells=(
        *undistilled(_MODELS, INSTRUCTION_TASKS),
        *(cell for teacher in TEACHERS for cell in losses(_MODELS, teacher, INSTRUCTION_TASKS)),
    ),
    prints=("table13",),
    derive=(best_of_losses(), averages),
    questions=(
        against_baseline(LOSSES),
        against_baseline((BEST,)),
        variance_over("do the teachers differ?", teacher_of),
        variance_over("do the three losses differ?", loss_of),
    ),
    claims=(
        (
            "The gain of 1.3 that the text gives is that of the text-to-audio teacher by the best of three "
            "losses for each task, which no single run has; its best single loss, cosine, has 1.0."
        ),
        "Under every loss and teacher below undistilled: Dolly.",
    ),
)
