"""The methods, one row each: what a student learns from.

Imports nothing heavy, so that --help answers at once.
"""

from dataclasses import dataclass
from enum import StrEnum


class Answers(StrEnum):
    """Whose answer a student learns to give, and in whose tokens."""

    REFERENCE = "reference"
    TEACHER_TEXT = "teacher text"
    TEACHER_TOKENS = "teacher tokens"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to train a student.

    Attributes:
        distils: an aligner is trained beside the student, and the cache's representations are read.
        answers: whose answers a generative task is learnt from; a task with labels has those.
        matches_tokens: the student learns what the teacher said of each token, too.
    """

    distils: bool = False
    answers: Answers = Answers.REFERENCE
    matches_tokens: bool = False

    @property
    def is_generative(self) -> bool:
        """Whether only a task with texts to write can be learnt so."""
        return self.answers is not Answers.REFERENCE


METHODS: dict[str, Method] = {
    "undistilled": Method(),
    "armada": Method(distils=True),
    "kd": Method(answers=Answers.TEACHER_TOKENS, matches_tokens=True),
    "seqkd": Method(answers=Answers.TEACHER_TEXT),
    "armada+kd": Method(distils=True, answers=Answers.TEACHER_TOKENS, matches_tokens=True),
}
