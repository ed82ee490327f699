"""Several batches to one optimiser step."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Portion:
    """What one batch is of an optimiser step.

    Attributes:
        share: of its gradient in the step's; batches of one step have equal shares.
        ends: the optimiser moves after it.
    """

    share: float = 1.0
    ends: bool = True


def portion(batch: int, num_batches: int, accumulate: int) -> Portion:
    """The portion of a batch of a pass; the last step of a pass has what is left.

    Args:
        batch: from 0.
        num_batches: of the pass.
        accumulate: batches a step.
    """
    first = batch - batch % accumulate
    size = min(accumulate, num_batches - first)
    return Portion(1 / size, batch == first + size - 1)


def num_steps(num_batches: int, accumulate: int) -> int:
    """Optimiser steps of a pass."""
    return -(-num_batches // accumulate)
