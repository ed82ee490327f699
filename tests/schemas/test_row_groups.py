"""Row groups are cut by what the rows hold, not by how they came."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.row_groups import group_bounds, row_bytes

TABLE = pa.table(
    {
        "text": pa.array(["", None, "abc", "naïve"]),
        "bytes": pa.array([b"12345", b"", None, b"1"]),
        "number": pa.array([1.0, None, 2.0, 3.0], pa.float32()),
        "ids": pa.array([[1, 2], None, [], [3]], pa.list_(pa.int32())),
        "fixed": pa.array([[1, 2], None, [3, 4], None], pa.list_(pa.float16(), 2)),
        "texts": pa.array([["ab", "c"], None, [], ["d"]], pa.list_(pa.string())),
        "pairs": pa.array(
            [
                [{"name": "n", "text": "xyz"}],
                None,
                [],
                [{"name": "", "text": "q"}, {"name": "r", "text": "s"}],
            ],
            pa.list_(pa.struct([("name", pa.string()), ("text", pa.string())])),
        ),
        "usage": pa.array([{"a": 1}, None, {"a": None}, {"a": 2}], pa.struct([("a", pa.int32())])),
        "nothing": pa.nulls(4),
    }
)
# text + bytes + number + ids + fixed + texts + pairs + usage, by hand.
SIZES = [0 + 5 + 4 + 8 + 4 + 3 + 4 + 4, 0, 3 + 0 + 4 + 0 + 4 + 0 + 0 + 0, 6 + 1 + 4 + 4 + 0 + 1 + 3 + 4]


def test_bytes_of_each_row() -> None:
    assert row_bytes(TABLE).tolist() == SIZES


@given(st.integers(0, 4), st.integers(0, 4))
def test_chunks_and_slices_change_nothing(cut: int, start: int) -> None:
    chunked = pa.concat_tables([TABLE.slice(0, cut), TABLE.slice(cut)])

    assert row_bytes(chunked.slice(start)).tolist() == SIZES[start:]


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 100))
def test_groups_cover_every_row_once_within_the_limit(sizes: list[int], limit: int) -> None:
    bounds = list(group_bounds(np.array(sizes, np.int64), limit))

    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(len(sizes)))
    for start, stop in bounds:
        assert sum(sizes[start:stop]) <= limit or stop - start == 1
    for (start, stop), _ in pairwise(bounds):
        assert sum(sizes[start : stop + 1]) > limit
