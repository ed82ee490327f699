"""A distilled student, its undistilled twin and the aligner, on the same rows in the same order.

Letters: R rows, D width of each tower's states.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.analyses.answers import Answers, answers_of
from distill.analyses.finished import open_run
from distill.analyses.states import aligner_states, student_states
from schemas.cache import TeacherCache

Floats = NDArray[np.float32]
STUDENTS = ("undistilled", "distilled")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs that were made to be compared.

    Attributes:
        answers: of both students.
        states: of `undistilled`, `distilled` and, where it was asked, `aligner`, each (R, D),
            in the order of the answers.
    """

    answers: Answers
    states: dict[str, Floats]


def open_pair(distilled: Path, undistilled: Path, cache: TeacherCache, *, aligner: bool = True) -> Pair:
    """Open two runs and ask their towers for the states of the reported rows.

    Args:
        distilled: folder of a run of armada.
        undistilled: folder of its twin.
        cache: that both were made from.
        aligner: ask the aligner too.

    Raises:
        AnalysisError: the runs do not fit each other or the cache, or the aligner cannot be asked.
    """
    ours, others = open_run(distilled), open_run(undistilled)
    answers = answers_of(ours, others)
    found = {"undistilled": student_states(others, cache), "distilled": student_states(ours, cache)}
    if aligner:
        found["aligner"] = aligner_states(ours, cache)
    return Pair(answers, {name: states.of(answers.ids) for name, states in found.items()})
