"""Which rows train, and which choose the checkpoint.

Rows are ordered by a seeded hash of their id, so membership does not hang on the order of the cache, and a
larger `--limit-train` keeps the rows of a smaller one.

Letters: R rows of the split.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD_OUT_SHARE = 10
# Rows that are looked at together: what is made of each takes eight bytes and more.
_ROWS = 1 << 16
_BITS = 16


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
    num_held = -(-int(usable_R.sum()) // HELD_OUT_SHARE)
    held_R = _first(id_hashes_R, usable_R, seed, num_held)
    rest_R = usable_R if limit is None else _first(id_hashes_R, usable_R, seed, num_held + limit)
    return Division(rest_R & ~held_R, held_R)


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
    return Division(usable_R if limit is None else _first(id_hashes_R, usable_R, seed, limit), None)


PROTOCOLS: dict[str, Protocol] = {"held-out": held_out, "paper-dev": paper_dev}


def _first(
    id_hashes_R: NDArray[np.uint64], usable_R: NDArray[np.bool_], seed: int, count: int
) -> NDArray[np.bool_]:
    """The first `count` usable rows by mixed hash, (R,), without sorting what may be 100 million of them."""
    if count >= np.count_nonzero(usable_R):
        return usable_R
    first_R = np.zeros(len(usable_R), bool)
    if count == 0:
        return first_R
    last = _ranked(id_hashes_R, usable_R, seed, count - 1)
    for some in _parts(len(usable_R)):
        first_R[some] = usable_R[some] & (_mix(id_hashes_R[some], seed) <= last)
    return first_R


def _ranked(id_hashes_R: NDArray[np.uint64], usable_R: NDArray[np.bool_], seed: int, rank: int) -> Any:
    """The mixed hash of that rank, from 0: rows are counted by its first bits, then a few are sorted."""

    def mixed() -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
        for some in _parts(len(usable_R)):
            values = _mix(id_hashes_R[some][usable_R[some]], seed)
            yield values, (values >> np.uint64(64 - _BITS)).astype(np.int64)

    counts = sum(np.bincount(bins, minlength=1 << _BITS) for _, bins in mixed())
    ends = np.cumsum(counts)
    place = int(ends.searchsorted(rank, side="right"))
    inside = np.sort(np.concatenate([values[bins == place] for values, bins in mixed()]))
    return inside[rank - (ends[place] - len(inside))]


def _parts(size: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, size, _ROWS))


def _mix(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """SplitMix64 of hash and seed (Steele, Lea, Flood, OOPSLA 2014), wrapping round as it should."""
    mixed = hashes + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
