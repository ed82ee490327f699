"""What Table 14 and Figures 7 and 8 share: a distilled student of BERT-base beside its undistilled twin."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from distill.studies.grids import STABLE_DIFFUSION, distilled, undistilled
from distill.studies.study import UNDISTILLED, Analysed, Cell, Key, Runs

PAIR_TASKS = ("CoLA", "COPA")
ARMADA = "armada"
# What the analyses call the students of the two variants.
TOWERS = {UNDISTILLED: "undistilled", ARMADA: "distilled"}

PAIR_CELLS: tuple[Cell, ...] = tuple(
    replace(cell, is_shown=False)
    for cell in (
        *undistilled(("bert-base",), PAIR_TASKS),
        *(distilled("bert-base", STABLE_DIFFUSION, ARMADA, task, manifold="euclid") for task in PAIR_TASKS),
    )
)


def over_pairs(
    runs: Runs, look: Callable[[Key, int, Any, Analysed], None], *, aligner: bool = False
) -> Analysed:
    """Look at each distilled run beside its twin; a pair that cannot be looked at leaves a note.

    Args:
        runs: of a study with PAIR_CELLS.
        look: given the distilled run's key, the seed, the pair and what was found so far, to be added to.
        aligner: ask the aligner for its states too.
    """
    from distill.analyses.pair import open_pair
    from schemas.cache import open_cache
    from schemas.errors import ArmadaError

    found = Analysed({})
    for (key, seed), made in runs.items():
        twin = runs.get((replace(key, teacher="", variant=UNDISTILLED), seed))
        if key.variant != ARMADA or twin is None:
            continue
        try:
            cache = open_cache(made.cache, verify=False)
            look(key, seed, open_pair(made.folder, twin.folder, cache, aligner=aligner), found)
        except ArmadaError as error:
            found.notes.append(f"{key.task}, seed {seed}: {error}")
    return found


def number_of(key: Key, student: str, variant: str, metric: str) -> Key:
    """The number of one of the two students.

    Args:
        key: of the distilled run.
        student: `armada` or `undistilled`, which has no teacher.
        variant: of the number.
        metric: likewise.
    """
    teacher = key.teacher if student == ARMADA else ""
    return replace(key, teacher=teacher, variant=variant, metric=metric)
