"""Figure 11: noise on the teacher's representations, BERT-base and the aligner."""

from distill.studies.grids import SMALL_TASKS, STABLE_DIFFUSION, aligner, distilled, undistilled
from distill.studies.study import Cell, Study

SIGMAS = (0.0, 1.0, 2.0, 5.0)


def noisy(model: str, teacher: str, tasks: tuple[str, ...]) -> tuple[Cell, ...]:
    """A student at each level of noise, standard deviations."""
    return tuple(
        distilled(model, teacher, f"sigma={sigma:g}", task, manifold="euclid", **control_of(sigma))
        for sigma in SIGMAS
        for task in tasks
    )


def noisy_aligner(teacher: str, student: str, tasks: tuple[str, ...]) -> tuple[Cell, ...]:
    """The aligner at each level of noise."""
    return tuple(
        cell
        for sigma in SIGMAS
        for cell in aligner(f"sigma={sigma:g}", teacher, student, tasks, **control_of(sigma))
    )


def control_of(sigma: float) -> dict[str, str]:
    """The option of `distill`; without noise none, so that the run is that of the other tables."""
    return {"control": f"noise:{sigma:g}"} if sigma else {}


FIGURE11 = Study(
    name="figure11",
    title="Noise on the representations, aligner and BERT-base on the small tasks",
    cells=(
        *undistilled(("bert-base",), SMALL_TASKS),
        *noisy("bert-base", STABLE_DIFFUSION, SMALL_TASKS),
        *noisy_aligner(STABLE_DIFFUSION, "bert-base", SMALL_TASKS),
    ),
    claims=(
        "Sigma is taken as a standard deviation; the paper does not say. The loss is not named: euclid here.",
    ),
    plot="noise",
)
