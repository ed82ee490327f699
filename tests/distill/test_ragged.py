import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.ragged import Flat, write_flat

rows = st.lists(st.one_of(st.none(), st.lists(st.integers(-5, 2**31 - 1), max_size=4)), max_size=6)


def batch(lists: list[list[int] | None], start: int) -> pa.RecordBatch:
    count = len(lists)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(lists, pa.list_(pa.int32())),
            pa.array(range(start, start + count), pa.uint64()),
            pa.array([number % 3 == 0 for number in range(count)], pa.bool_()),
        ],
        names=["ids", "hash", "cut"],
    )


@given(parts=st.lists(rows, min_size=1, max_size=5), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_comes_back(
    tmp_path: Path, parts: list[list[list[int]]], data: st.DataObject
) -> None:
    starts = np.cumsum([0, *map(len, parts)])
    write_flat(tmp_path / "x.json", (batch(part, start) for part, start in zip(parts, starts, strict=False)))
    held, wanted = Flat(tmp_path / "x.json"), [row or [] for part in parts for row in part]

    assert (list(held.lists), list(held.columns)) == (["ids"], ["hash", "cut"])
    assert held.group_starts.tolist() == starts.tolist()
    assert held.lists["ids"].lengths.tolist() == [len(row) for row in wanted]
    assert held.columns["hash"].tolist() == list(range(len(wanted)))
    assert held.columns["cut"].dtype == bool
    chosen = data.draw(st.lists(st.integers(0, len(wanted) - 1), max_size=9)) if wanted else []
    found = held.lists["ids"].rows(np.array(chosen, np.int64))
    assert [row.tolist() for row in found] == [wanted[row] for row in chosen]
    assert [array.dtype for array in found] == [np.int32] * len(chosen)


def test_what_is_held_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Files of 400,000 rows are read and written with the memory of one batch."""

    def many() -> Iterator[pa.RecordBatch]:
        lists = pa.array([[1, 2, 3, 4]] * 1000, pa.list_(pa.int32()))
        for start in range(400):
            yield pa.RecordBatch.from_arrays([lists, pa.array(np.arange(1000) + start)], names=["ids", "row"])

    tracemalloc.start()
    write_flat(tmp_path / "x.json", many())
    held = Flat(tmp_path / "x.json")
    picked = held.lists["ids"].rows(np.arange(1000, 2000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(held.lists["ids"].lengths) == 400_000
    assert [row.tolist() for row in picked[:2]] == [[1, 2, 3, 4]] * 2
    # Less than a byte a row; lists of Python's would be a hundred.
    assert peak < 400_000


def test_what_was_not_written_to_the_end_is_not_there(tmp_path: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield batch([[1]], 0)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_flat(tmp_path / "x.json", failing())
    assert list(tmp_path.iterdir()) == []
