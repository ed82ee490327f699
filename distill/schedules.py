"""Which tower trains when: a schedule is a list of passes over the training rows; a new one is a new row."""

from collections.abc import Callable
from dataclasses import dataclass

ALIGNER, STUDENT = "aligner", "student"


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the training rows.

    Attributes:
        epoch: from 0.
        number: in the epoch; with seed and epoch it decides the order of rows. The student's is 1 in every
            schedule, so that runs with one seed differ in their method alone.
        trains: towers that learn in it.
    """

    epoch: int
    number: int
    trains: tuple[str, ...]


Schedule = Callable[[int], list[Pass]]


def student_only(epochs: int) -> list[Pass]:
    """Passes of the student alone."""
    return [Pass(epoch, 1, (STUDENT,)) for epoch in range(epochs)]


def alternating(epochs: int) -> list[Pass]:
    """In each epoch the aligner first, then the student beside the aligner as it is by then."""
    return [
        one for epoch in range(epochs) for one in (Pass(epoch, 0, (ALIGNER,)), Pass(epoch, 1, (STUDENT,)))
    ]


def joint(epochs: int) -> list[Pass]:
    """Both towers on every batch: one forward of each, then each takes its step."""
    return [Pass(epoch, 1, (ALIGNER, STUDENT)) for epoch in range(epochs)]


def pretrained(epochs: int) -> list[Pass]:
    """The aligner to its end first; then the student beside it, as it has become."""
    return [*(Pass(epoch, 0, (ALIGNER,)) for epoch in range(epochs)), *student_only(epochs)]


# In `frozen` nothing trains the aligner: it stays as it was drawn.
SCHEDULES: dict[str, Schedule] = {
    "alternating": alternating,
    "joint": joint,
    "pretrained": pretrained,
    "frozen": student_only,
}
