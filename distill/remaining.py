"""How long a run still takes: a pass of the aligner is over sooner than one of the student."""

from collections import Counter
from dataclasses import dataclass

from distill.training import Training, passes

_BESIDE = ("data", "selection", "checkpoint")


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds left of a training, each kind of pass at its own pace.

    Attributes:
        training: under way; its clock has the seconds of each kind.
        num_rows: of a pass.
    """

    training: Training
    num_rows: int

    def __call__(self) -> float | None:
        """Seconds; None as long as a kind of pass that is to come was never timed."""
        done, left = self._rows()
        seconds = self.training.clock.seconds
        if any(left[kind] and not (done[kind] and seconds.get(kind)) for kind in left):
            return None
        passed = sum(seconds.get(kind, 0.0) for kind in done)
        beside = sum(seconds.get(part, 0.0) for part in _BESIDE) / passed if passed else 0.0
        return (1 + beside) * sum(left[kind] * seconds[kind] / done[kind] for kind in left if left[kind])

    def _rows(self) -> tuple[Counter[str], Counter[str]]:
        """Rows of each kind of pass that were trained on, and that are to come."""
        done, left, rest = Counter[str](), Counter[str](), self.training.place.rows
        for one in passes(self.training.run):
            over = min(rest, self.num_rows)
            rest -= over
            done["+".join(one.trains)] += over
            left["+".join(one.trains)] += self.num_rows - over
        return done, left
