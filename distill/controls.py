"""What is done to representations for the sake of a comparison: given to other examples, or blurred.

Letters: R rows of the split, B batch, D width of the representation.
"""

import numpy as np
from numpy.typing import NDArray

# Keep the controls' random numbers apart from those of the order, which start with the seed.
_SHUFFLE, _NOISE = 7001, 7002


def sigma_of(control: str) -> float:
    """Standard deviation that `noise:SIGMA` asks for; 0 for any other control."""
    kind, _, sigma = control.partition(":")
    return float(sigma) if kind == "noise" else 0.0


def donors(control: str, taught_R: NDArray[np.bool_], seed: int) -> NDArray[np.int64] | None:
    """For `shuffle`, the row whose representation each row gets: one permutation for the whole run.

    It spans the split, since neighbours in a file may share a label. Rows without a representation keep none.

    Args:
        control: as on the command line.
        taught_R: rows with a representation.
        seed: of the run.

    Returns:
        (R,), or None where each row keeps its own.
    """
    if control != "shuffle":
        return None
    taught = np.flatnonzero(taught_R)
    donor_R = np.arange(len(taught_R))
    donor_R[taught] = np.random.default_rng([_SHUFFLE, seed]).permutation(taught)
    return donor_R


def noise(
    shape: tuple[int, ...], sigma: float, seed: int, place: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Gaussian noise for one batch, drawn anew in each pass.

    Args:
        shape: (B, D).
        sigma: standard deviation, in standardised units.
        seed: of the run.
        place: epoch, pass and batch.
    """
    random = np.random.default_rng([_NOISE, seed, *place])
    return random.standard_normal(shape, np.float32) * np.float32(sigma)
