"""A column of lists of token ids, memory-mapped: rows of it are views of the file.

Letters: R rows of the split.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Ragged:
    """Lists of whole numbers, row by row.

    Args:
        arrays: of type list<int32>, one a record batch.
    """

    def __init__(self, arrays: Sequence[pa.ListArray]) -> None:
        self._values = [array.values.to_numpy() for array in arrays]
        self._offsets = [array.offsets.to_numpy() for array in arrays]
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])

    @cached_property
    def lengths(self) -> NDArray[np.int32]:
        """Entries of each row, (R,)."""
        parts = [np.diff(offsets) for offsets in self._offsets]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def rows(self, rows: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """Some rows."""
        groups = self._starts.searchsorted(rows, side="right") - 1
        found: list[NDArray[np.int32]] = []
        for group, place in zip(groups.tolist(), (rows - self._starts[groups]).tolist(), strict=True):
            start, end = self._offsets[group][place : place + 2]
            found.append(self._values[group][start:end])
        return found
