"""The order of examples: a pure function of seed, epoch, pass and sizes, so a run can go on from any batch.

Row groups are permuted and joined to windows; inside a window rows are permuted, sorted by length so that a
batch holds texts of like length, cut into batches, and the batches permuted. Nothing is buffered: the window
of any batch is computed, from a bit a row, and the lengths of the window's rows alone.

Letters: R rows of the split, G row groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

ROWS_PER_WINDOW = 4096
# Wide representations make row groups of a few rows; this keeps a window to 128 MiB of them.
GROUPS_PER_WINDOW = 8
# The number of the pass that measures: in no schedule.
EVALUATION_PASS = 9


@dataclass(frozen=True, slots=True)
class Window:
    """Some row groups that are read together.

    Attributes:
        index: in the pass, from 0.
        groups: numbers of its row groups.
        num_batches: cut from it.
    """

    index: int
    groups: tuple[int, ...]
    num_batches: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Which rows of a split are in use.

    Attributes:
        bits: one a row, eight in each value, uint8.
        counts_G: rows in use of each row group.
        num_rows: of the split, in use or not.
    """

    bits: NDArray[np.uint8]
    counts_G: NDArray[np.int64]
    num_rows: int

    @classmethod
    def of(cls, rows_R: NDArray[np.bool_], group_starts: NDArray[np.int64]) -> Self:
        """Those that a mask, (R,), marks."""
        counts = [np.count_nonzero(rows_R[first:end]) for first, end in pairwise(group_starts.tolist())]
        return cls(np.packbits(rows_R), np.array(counts, np.int64), len(rows_R))

    @property
    def total(self) -> int:
        """Rows in use."""
        return int(self.counts_G.sum())

    def mask(self) -> NDArray[np.bool_]:
        """The mask, (R,)."""
        return np.unpackbits(self.bits, count=self.num_rows).view(bool)

    def between(self, first: int, end: int) -> NDArray[np.int64]:
        """The rows in use from `first` on, before `end`."""
        skipped = first % 8
        bits = np.unpackbits(self.bits[first // 8 : -(-end // 8)], count=skipped + end - first)
        return first + np.flatnonzero(bits[skipped:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The batches of every pass over the kept rows of a split.

    Attributes:
        seed: of the run.
        batch_size: rows a batch; the last batch of a window may have fewer.
        group_starts: first row of each row group and the number of rows, int64, (G + 1,).
        kept: rows in use.
        lengths_R: tokens of each row; of a mapped file, the pages of a window are read.
    """

    seed: int
    batch_size: int
    group_starts: NDArray[np.int64]
    kept: Kept
    lengths_R: NDArray[np.int32]

    def windows(self, epoch: int, passage: int) -> Iterator[Window]:
        """The windows of one pass, in order.

        Args:
            epoch: from 0.
            passage: which pass of the epoch.
        """
        counts_G = self.kept.counts_G
        groups = np.random.default_rng([self.seed, epoch, passage, 0]).permutation(np.flatnonzero(counts_G))
        index, rows, chosen = 0, 0, list[int]()
        for position, group in enumerate(groups, start=1):
            chosen.append(int(group))
            rows += int(counts_G[group])
            full = rows >= ROWS_PER_WINDOW or len(chosen) == GROUPS_PER_WINDOW
            if full or position == len(groups):
                yield Window(index, tuple(chosen), -(-rows // self.batch_size))
                index, rows, chosen = index + 1, 0, []

    def num_batches(self, epoch: int, passage: int) -> int:
        """Batches of one pass."""
        return sum(window.num_batches for window in self.windows(epoch, passage))

    def cut(self, window: Window, epoch: int, passage: int) -> list[NDArray[np.int64]]:
        """The batches of a window, each as rows of the split."""
        random = np.random.default_rng([self.seed, epoch, passage, window.index + 1])
        rows = random.permutation(np.concatenate([self._kept_in(group) for group in window.groups]))
        rows = rows[np.argsort(self.lengths_R[rows], kind="stable")]
        batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        return [batches[index] for index in random.permutation(len(batches))]

    def batches(
        self, epoch: int, passage: int, start: int = 0
    ) -> Iterator[tuple[Window, list[NDArray[np.int64]]]]:
        """Windows with their batches, from batch `start` of the pass on; earlier windows are not computed."""
        for window in self.windows(epoch, passage):
            if start < window.num_batches:
                yield window, self.cut(window, epoch, passage)[start:]
            start = max(0, start - window.num_batches)

    def _kept_in(self, group: int) -> NDArray[np.int64]:
        return self.kept.between(*self.group_starts[group : group + 2].tolist())
