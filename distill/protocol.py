"""Which rows train, and which choose the checkpoint.

Rows are ordered by a seeded hash of their id, so membership does not hang on the order of the cache, and a
larger `--limit-train` keeps the rows of a smaller one.

Letters: R rows of the split.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HELD_OUT_SHARE = 10


@dataclass(frozen=True, slots=True)
class Division:
    """The training split, divided.

    Attributes:
        train_R: rows to learn from.
        select_R: rows that choose the checkpoint; None leaves that to the reported rows.
    """

    train_R: NDArray[np.bool_]
    select_R: NDArray[np.bool_] | None


Protocol = Callable[[NDArray[np.uint64], NDArray[np.bool_], int, int | None], Division]


def held_out(
    id_hashes_R: NDArray[np.uint64], usable_R: NDArray[np.bool_], seed: int, limit: int | None
) -> Division:
    """Hold out a tenth of the usable rows, at least one; train on the rest, or on the first `limit` of it.

    Args:
        id_hashes_R: of the examples' ids.
        usable_R: rows that can be learnt from.
        seed: of the run.
        limit: rows to train on; None is all.
    """
    ordered = _ordered(id_hashes_R, usable_R, seed)
    num_held = -(-len(ordered) // HELD_OUT_SHARE)
    held, rest = ordered[:num_held], ordered[num_held:]
    return Division(_mask(len(usable_R), rest[:limit]), _mask(len(usable_R), held))


def paper_dev(
    id_hashes_R: NDArray[np.uint64], usable_R: NDArray[np.bool_], seed: int, limit: int | None
) -> Division:
    """Train on all usable rows, or the first `limit`, and choose by the rows that are reported.

    The result is the best of as many tries as there are epochs, on the rows that judge it: what the authors'
    code does, for comparison with the paper's numbers only.

    Args:
        id_hashes_R: of the examples' ids.
        usable_R: rows that can be learnt from.
        seed: of the run.
        limit: rows to train on; None is all.
    """
    return Division(_mask(len(usable_R), _ordered(id_hashes_R, usable_R, seed)[:limit]), None)


PROTOCOLS: dict[str, Protocol] = {"held-out": held_out, "paper-dev": paper_dev}


def _ordered(id_hashes_R: NDArray[np.uint64], usable_R: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    usable = np.flatnonzero(usable_R)
    return usable[np.argsort(_mix(id_hashes_R[usable], seed), kind="stable")]


def _mask(size: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(size, bool)
    mask[rows] = True
    return mask


def _mix(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """SplitMix64 of hash and seed (Steele, Lea, Flood, OOPSLA 2014), wrapping round as it should."""
    mixed = hashes + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
