"""Figure 10: the aligner trained, and drawn at random and left so."""

from distill.studies.grids import SMALL_TASKS, STABLE_DIFFUSION, distilled, undistilled
from distill.studies.questions import against_baseline
from distill.studies.study import Study

TRAINED, FROZEN = "aligner trained", "aligner frozen"

FIGURE10 = Study(
    name="figure10",
    title="Aligner trained and frozen, BERT-base on the small tasks",
    cells=(
        *undistilled(("bert-base",), SMALL_TASKS),
        *(
            distilled("bert-base", STABLE_DIFFUSION, variant, task, manifold="euclid", **options)
            for variant, options in ((TRAINED, {}), (FROZEN, {"schedule": "frozen"}))
            for task in SMALL_TASKS
        ),
    ),
    questions=(against_baseline((TRAINED, FROZEN)), against_baseline((TRAINED,), baseline=FROZEN)),
    claims=(
        "The text: frozen is below undistilled on six of eight tasks. The loss is not named: euclid here.",
    ),
)
