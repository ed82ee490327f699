"""Figure 5: the weights beta and gamma under LLaMA-3.2-3B."""

from itertools import product

from distill.studies.figure03 import weights_of
from distill.studies.grids import INSTRUCTION_TASKS, distilled, undistilled
from distill.studies.questions import variance_over
from distill.studies.study import Study

_TEACHER = "text-to-audio"

FIGURE05 = Study(
    name="figure05",
    title="beta and gamma on and off, LLaMA-3.2-3B",
    cells=(
        *undistilled(("llama-3.2-3b",), INSTRUCTION_TASKS),
        *(
            distilled(
                "llama-3.2-3b",
                _TEACHER,
                f"beta={beta:g} gamma={gamma:g}",
                task,
                manifold="euclid",
                beta=beta,
                gamma=gamma,
            )
            for beta, gamma in product((0.0, 1.0), (0.0, 1.0))
            for task in INSTRUCTION_TASKS
        ),
    ),
    questions=(variance_over("do beta and gamma matter?", weights_of),),
    claims=(
        (
            "The text gives p 7e-5 for beta and 5e-3 for gamma in a two-way analysis of variance. Teacher "
            "and manifold loss are not named: text-to-audio and euclid here."
        ),
    ),
)
