"""Record batches in flat files, memory-mapped: what grows with the rows lies on the disk, once a machine.

A column of lists becomes three arrays: all entries one after another, where each row ends among them, and how
many it has. Any other column becomes one.

Letters: R rows of all batches.
"""

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.files import whole_file, write_text

Array = NDArray[Any]
_GROUPS, _ENTRIES, _ENDS, _LENGTHS = "groups", "entries", "ends", "lengths"


@dataclass(frozen=True, slots=True)
class Ragged:
    """A column of lists.

    Attributes:
        entries: of all rows.
        ends: of each row, among all entries, (R,).
        lengths: entries of each row, (R,).
    """

    entries: NDArray[np.int32]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int32]

    def rows(self, rows: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """Some rows, each as a view of the file."""
        ends = self.ends[rows]
        starts = ends - self.lengths[rows]
        return [self.entries[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


class Flat:
    """The columns of record batches that `write_flat` has written.

    Args:
        path: as it was given there.

    Attributes:
        lists: columns of lists, by name.
        columns: all others.
        group_starts: first row of each batch and the number of rows, int64.

    Raises:
        ValueError: a file is damaged.
        FileNotFoundError: one is gone.
    """

    def __init__(self, path: Path) -> None:
        kinds: dict[str, bool] = json.loads(path.read_text(encoding="utf-8"))

        def mapped(*name: str) -> Array:
            # As a plain array: a memmap takes three times as long to pick rows from.
            return np.asarray(np.load(_file(path, *name), mmap_mode="r"))

        parts = (_ENTRIES, _ENDS, _LENGTHS)
        self.lists = {
            name: Ragged(*(mapped(name, part) for part in parts))
            for name, is_list in kinds.items()
            if is_list
        }
        self.columns = {name: mapped(name) for name, is_list in kinds.items() if not is_list}
        self.group_starts: NDArray[np.int64] = np.cumsum([0, *mapped(_GROUPS)])


def write_flat(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    """Write record batches of one schema, one in memory at a time.

    Args:
        path: written last, with the names of the columns; each array is in a file beside it.
        batches: at least one; without nulls, but in lists.
    """
    first = next(batches)
    kinds = {field.name: pa.types.is_list(field.type) for field in first.schema}
    num_entries = Counter[str]()
    with ExitStack() as stack:
        add: dict[tuple[str, ...], Callable[[Array], None]] = {}
        for batch in chain([first], batches):
            for name, values in _arrays(batch, num_entries):
                if name not in add:
                    add[name] = stack.enter_context(growing(_file(path, *name), values.dtype))
                add[name](values)
    write_text(path, json.dumps(kinds))


def _file(path: Path, *name: str) -> Path:
    return path.with_name(".".join([path.stem, *name, "npy"]))


def _arrays(batch: pa.RecordBatch, num_entries: Counter[str]) -> Iterator[tuple[tuple[str, ...], Array]]:
    """What a batch puts to each file; entries are counted on over the batches."""
    yield (_GROUPS,), np.array([batch.num_rows], np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_list(column.type):
            lengths = column.value_lengths().fill_null(0).to_numpy()
            yield (name, _ENTRIES), column.flatten().to_numpy()
            yield (name, _LENGTHS), lengths
            yield (name, _ENDS), num_entries[name] + np.cumsum(lengths, dtype=np.int64)
            num_entries[name] += int(lengths.sum())
        else:
            yield (name,), column.to_numpy(zero_copy_only=False)


@contextmanager
def growing(path: Path, kind: np.dtype[Any]) -> Generator[Callable[[Array], None]]:
    """A file of NumPy's own format, whole in the end, that arrays of one axis are put to."""
    num_values = 0
    with whole_file(path) as temporary, temporary.open("wb") as file:

        def head() -> None:
            # NumPy leaves room in it, so that it has one size for any number of values.
            descr = np.lib.format.dtype_to_descr(kind)
            shape = {"descr": descr, "fortran_order": False, "shape": (num_values,)}
            np.lib.format.write_array_header_1_0(file, shape)

        def add(values: Array) -> None:
            nonlocal num_values
            num_values += len(values)
            file.write(np.ascontiguousarray(values, kind).data)

        head()
        yield add
        file.seek(0)
        head()
