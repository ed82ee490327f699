"""Figure 13: noise on the teacher's representations, LLaMA-3.2-3B."""

from distill.studies.figure11 import noisy
from distill.studies.grids import INSTRUCTION_TASKS, undistilled
from distill.studies.study import Study

FIGURE13 = Study(
    name="figure13",
    title="Noise on the representations, LLaMA-3.2-3B",
    cells=(
        *undistilled(("llama-3.2-3b",), INSTRUCTION_TASKS),
        *noisy("llama-3.2-3b", "text-to-audio", INSTRUCTION_TASKS),
    ),
    claims=("Teacher and loss are not named: text-to-audio and euclid here.",),
    plot="noise",
)
