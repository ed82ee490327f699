"""One split of a cache: labels and other narrow columns whole, representations by row group.

Letters: R rows of the split, G row groups, C classes, D width of the representation.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.cache import TeacherCache
from schemas.errors import CacheError
from schemas.pages import fill
from schemas.rows import representations
from schemas.shard import reader_of, unreadable
from schemas.tasks import LabelKind, TaskSpec

# Each has a file descriptor, of which some systems give a process 256; a cache may have 100,000 shards.
_MOST_OPEN = 64


class Split:
    """The rows of one split. Of its shards, those that were read last are open.

    Args:
        cache: that it belongs to.
        name: of the split.
        task: of the cache.

    Raises:
        CacheError: the cache has no rows of that split.
    """

    def __init__(self, cache: TeacherCache, name: str, task: TaskSpec) -> None:
        self.cache, self.name, self.task = cache, name, task
        self._files = cache.manifest.files_of(name)
        # One file's reader does not bear two threads.
        self._reading = Lock()
        self._open = dict[int, _Shard]()
        # Row groups whose representations were compared with their checksums: once, not in every epoch.
        self._compared = set[int]()
        sizes, counts = list[int](), list[int]()
        for _, shard in cache.shards(name):
            with shard:
                counts.append(shard.num_row_groups)
                sizes.extend(shard.metadata.row_group(group).num_rows for group in range(counts[-1]))
        self._first_groups = np.array([0, *accumulate(counts)], np.int64)
        self.group_starts = np.array([0, *accumulate(sizes)], np.int64)
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
        return len(self.group_starts) - 1

    def column(self, name: str) -> pa.Array:
        """A narrow column, whole."""
        return pa.concat_arrays(self._chunks(name))

    def present(self, name: str) -> NDArray[np.bool_]:
        """Which rows have something in a column, (R,); one row group of it is in memory."""
        return np.concatenate([_numpy(chunk.is_valid()) for chunk in self._chunks(name)])

    def labels(self) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Labels as the task's loss wants them, (R,) or (R, C), and which rows have one, (R,)."""
        if self.task.label_kind is LabelKind.REGRESSION:
            values = self.column("value")
            return _numpy(values.fill_null(0.0)), _numpy(values.is_valid())
        multiple, start = self.task.label_kind is LabelKind.MULTI, 0
        shape = (self.num_rows, len(self.task.classes)) if multiple else self.num_rows
        labels = np.zeros(shape, np.float32 if multiple else np.int64)
        labelled_R = np.ones(self.num_rows, bool)
        for lists in self._chunks("class_ids"):
            counts, ids = _numpy(lists.value_lengths().fill_null(0)), _numpy(lists.flatten())
            rows = start + np.repeat(np.arange(len(counts)), counts)
            labels[(rows, ids) if multiple else rows] = 1 if multiple else ids
            labelled_R[start : start + len(counts)] = multiple | (counts == 1)
            start += len(counts)
        return labels, labelled_R

    def taught(self) -> NDArray[np.bool_]:
        """Which rows have a representation, (R,); read only where the manifest says that some have none."""
        manifest = self.cache.manifest
        if not manifest.stores_repr:
            return np.zeros(self.num_rows, bool)
        if all(file.taught == file.rows for file in manifest.files_of(self.name)):
            return np.ones(self.num_rows, bool)
        return self.present("teacher_repr")

    def representations(self, groups: Sequence[int]) -> NDArray[np.floating]:
        """As stored, (rows, D), of some row groups one after the other; meaningless where a row has none.

        Raises:
            ShardError: a page of them is damaged.
        """
        teacher, starts = self.cache.manifest.teacher, self.group_starts
        sizes = [int(starts[group + 1] - starts[group]) for group in groups]
        values = np.empty((sum(sizes), teacher.repr_dim or 0), teacher.repr_dtype)
        ends = accumulate(sizes)
        for group, size, end in zip(groups, sizes, ends, strict=True):
            own = values[end - size : end]
            with self._reading_of(group) as (shard, inside):
                chunk = shard.reader.metadata.row_group(inside).column(shard.column("teacher_repr"))
                filled = fill(own, shard.file, chunk, check=group not in self._compared)
            if not filled:
                own[:] = representations(self.read(group, ["teacher_repr"]).column(0))[0]
            self._compared.add(group)
        return values

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a row group.

        Raises:
            ShardError: a page of them is damaged.
        """
        with self._reading_of(group) as (shard, inside):
            return shard.reader.read_row_group(inside, columns=list(columns))

    @contextmanager
    def _reading_of(self, group: int) -> Generator[tuple["_Shard", int]]:
        """The shard that has a row group, for one thread at a time, and the group's number in it."""
        index = int(self._first_groups.searchsorted(group, side="right")) - 1
        with self._reading:
            try:
                yield self._shard(index), group - int(self._first_groups[index])
            except (pa.ArrowException, OSError) as error:
                raise unreadable(self.cache.folder / self._files[index].name, error) from None

    def _shard(self, index: int) -> "_Shard":
        shard = self._open.pop(index, None)
        if shard is None:
            if len(self._open) == _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            shard = _Shard(self.cache.folder / self._files[index].name)
        self._open[index] = shard
        return shard

    def _chunks(self, name: str) -> Iterator[pa.Array]:
        for group in range(self.num_groups):
            yield from self.read(group, [name]).column(0).chunks

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
        """Ids of some rows, read from the row groups that have them."""
        groups, inside = self.places(rows)
        ids = np.empty(len(rows), object)
        for group in np.unique(groups).tolist():
            own = groups == group
            ids[own] = self.read(group, ["example_id"]).column(0).take(pa.array(inside[own])).to_pylist()
        return ids.tolist()


def _numpy(array: pa.Array) -> NDArray[Any]:
    return array.to_numpy(zero_copy_only=False)


class _Shard:
    """A shard that is open: a file that takes its place meanwhile is not seen.

    Args:
        path: of the shard.
    """

    def __init__(self, path: Path) -> None:
        self.file = pa.memory_map(str(path))
        self.reader = reader_of(self.file)

    def column(self, name: str) -> int:
        """Number of the leaf column of a column of lists."""
        paths = [column.path.partition(".")[0] for column in self.reader.schema]
        return paths.index(name)

    def close(self) -> None:
        """Give the file back."""
        self.reader.close()
        self.file.close()
