"""One split of a cache: labels and other narrow columns whole, representations by row group.

Letters: R rows of the split, G row groups, C classes, D width of the representation.
"""

from collections.abc import Sequence
from itertools import accumulate
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.cache import TeacherCache
from schemas.errors import CacheError
from schemas.rows import representations
from schemas.tasks import LabelKind, TaskSpec


class Split:
    """The rows of one split.

    Args:
        cache: that it belongs to.
        name: of the split.
        task: of the cache.

    Raises:
        CacheError: the cache has no rows of that split.
    """

    def __init__(self, cache: TeacherCache, name: str, task: TaskSpec) -> None:
        self.cache, self.name, self.task = cache, name, task
        # One file's reader does not bear two threads.
        self._reading = Lock()
        self._shards = [shard for _, shard in cache.shards(name)]
        sizes = [
            (shard, group, shard.metadata.row_group(group).num_rows)
            for shard in self._shards
            for group in range(shard.num_row_groups)
        ]
        self._groups = [(shard, group) for shard, group, _ in sizes]
        self.group_starts = np.array([0, *accumulate(rows for *_, rows in sizes)], np.int64)
        if not self.num_rows:
            held = ", ".join(cache.manifest.request.splits)
            raise CacheError(
                f"{cache.folder} has no rows of the split {name!r}, only {held}; "
                "run cache-teacher without --splits, into a new folder"
            )

    @property
    def num_rows(self) -> int:
        """Rows of the split."""
        return int(self.group_starts[-1])

    @property
    def num_groups(self) -> int:
        """Row groups of the split."""
        return len(self._groups)

    def column(self, name: str) -> pa.Array:
        """A narrow column, whole."""
        chunks = [chunk for shard in self._shards for chunk in shard.read([name]).column(name).chunks]
        return pa.concat_arrays(chunks)

    def labels(self) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Labels as the task's loss wants them, (R,) or (R, C), and which rows have one, (R,)."""
        if self.task.label_kind is LabelKind.REGRESSION:
            values = self.column("value")
            return _numpy(values.fill_null(0.0)), _numpy(values.is_valid())
        lists = self.column("class_ids")
        counts_R, ids = _numpy(lists.value_lengths().fill_null(0)), _numpy(lists.flatten())
        rows = np.repeat(np.arange(self.num_rows), counts_R)
        if self.task.label_kind is LabelKind.MULTI:
            labels_RC = np.zeros((self.num_rows, len(self.task.classes)), np.float32)
            labels_RC[rows, ids] = 1
            return labels_RC, np.ones(self.num_rows, bool)
        labels_R = np.zeros(self.num_rows, np.int64)
        labels_R[rows] = ids
        return labels_R, counts_R == 1

    def taught(self) -> NDArray[np.bool_]:
        """Which rows have a representation, (R,); read only where the manifest says that some have none."""
        manifest = self.cache.manifest
        if not manifest.stores_repr:
            return np.zeros(self.num_rows, bool)
        if all(file.taught == file.rows for file in manifest.files_of(self.name)):
            return np.ones(self.num_rows, bool)
        return np.concatenate([self.representations(group)[1] for group in range(self.num_groups)])

    def representations(self, group: int) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """As stored, (rows, D), of a row group, and which of its rows have one."""
        return representations(self.read(group, ["teacher_repr"]).column(0))

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a row group."""
        shard, number = self._groups[group]
        with self._reading:
            return shard.read_row_group(number, columns=list(columns))

    def places(self, rows_B: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The row group of each row, (B,), and its place in it, (B,)."""
        groups_B = self.group_starts.searchsorted(rows_B, side="right") - 1
        return groups_B, rows_B - self.group_starts[groups_B]

    def parts(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
        """Which of some rows belong to each of the task's parts, by its name; without empty parts."""
        if not self.task.parts:
            return {}
        found = np.array([self.task.part_of(identifier) or "" for identifier in self.example_ids(rows)])
        masks = {part: found == part for part in self.task.parts}
        return {part: rows_R for part, rows_R in masks.items() if rows_R.any()}

    def example_ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Ids of some rows."""
        return self.column("example_id").take(pa.array(rows)).to_pylist()


def _numpy(array: pa.Array) -> NDArray[Any]:
    return array.to_numpy(zero_copy_only=False)
