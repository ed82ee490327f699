"""Where a shard is cut into row groups: at places that depend on its rows alone, not on how they arrived."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ROW_GROUP_BYTES = 16 << 20


def row_bytes(table: pa.Table | pa.RecordBatch) -> NDArray[np.int64]:
    """Bytes of values in each row.

    `nbytes` will not do: it counts offsets and validity bits, which differ with the chunks that a table is
    made of.
    """
    sizes = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        if chunks:
            sizes += np.concatenate([_value_bytes(chunk) for chunk in chunks])
    return sizes


def _value_bytes(array: pa.Array) -> NDArray[np.int64]:
    kind = array.type
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _lengths("binary_length", array)
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size * kind.value_type.bit_width // 8
        return array.is_valid().to_numpy(zero_copy_only=False) * np.int64(width)
    if pa.types.is_struct(kind):
        return sum((_value_bytes(part) for part in array.flatten()), np.zeros(len(array), np.int64))
    if pa.types.is_list(kind):
        return _list_bytes(array)
    return array.is_valid().to_numpy(zero_copy_only=False) * np.int64(kind.bit_width // 8)


def _list_bytes(array: pa.Array) -> NDArray[np.int64]:
    element = array.type.value_type
    if pa.types.is_integer(element) or pa.types.is_floating(element):
        return _lengths("list_value_length", array) * (element.bit_width // 8)
    parents = pc.call_function("list_parent_indices", [array]).to_numpy()
    return np.bincount(parents, _value_bytes(array.flatten()), minlength=len(array)).astype(np.int64)


def _lengths(function: str, array: pa.Array) -> NDArray[np.int64]:
    return (
        pc.fill_null(pc.call_function(function, [array]), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    )


def group_bounds(sizes: NDArray[np.int64], limit: int = ROW_GROUP_BYTES) -> Iterator[tuple[int, int]]:
    """Cut rows of these sizes, in order, into the fewest runs of at most `limit` bytes (or one row).

    Yields:
        First row and one past the last row of each group; one empty group for no rows.
    """
    total = np.concatenate([[0], np.cumsum(sizes)])
    start = 0
    while start < len(sizes):
        stop = int(np.searchsorted(total, total[start] + limit, side="right")) - 1
        stop = max(stop, start + 1)
        yield start, stop
        start = stop
    if not len(sizes):
        yield 0, 0
