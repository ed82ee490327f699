"""What Table 14 and Figures 7 and 8 share: a distilled student of BERT-base beside its undistilled twin."""

from collections.abc import Iterator
from dataclasses import replace

from distill.studies.grids import STABLE_DIFFUSION, distilled, undistilled
from distill.studies.study import UNDISTILLED, Cell, Key, Made, Runs

PAIR_TASKS = ("CoLA", "COPA")
ARMADA = "armada"

PAIR_CELLS: tuple[Cell, ...] = tuple(
    replace(cell, is_shown=False)
    for cell in (
        *undistilled(("bert-base",), PAIR_TASKS),
        *(distilled("bert-base", STABLE_DIFFUSION, ARMADA, task, manifold="euclid") for task in PAIR_TASKS),
    )
)


def pairs_of(runs: Runs) -> Iterator[tuple[Key, int, Made, Made]]:
    """Key and seed of each distilled run that has a twin, the run, and its twin."""
    for (key, seed), made in runs.items():
        twin = runs.get((replace(key, teacher="", variant=UNDISTILLED), seed))
        if key.variant == ARMADA and twin is not None:
            yield key, seed, made, twin
