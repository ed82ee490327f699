"""Arrays of lists of one width straight out of the pages of a Parquet file, without the levels of the lists.

Parquet says of each value where it stands in its list. Where every row has a list of one width, that is known
beforehand, yet reading it takes most of a reader's time (benchmarks/reading.py). What is laid out otherwise
is left to pyarrow, and so is saying what is wrong with a damaged page.

The format: https://parquet.apache.org/docs/file-format; a page's header is a struct of Thrift's compact
protocol.
"""

from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

# Fields of a page's header by their numbers in parquet.thrift, and the values of two of them.
_TYPE, _SIZE, _PACKED_SIZE, _CHECKSUM, _DATA_PAGE = 1, 2, 3, 4, 5
_NUM_VALUES, _ENCODING = 1, 2
_DATA_PAGE_V1, _PLAIN = 0, 0
# What a field can be in the compact protocol, of that which a header has.
_TRUE, _FALSE, _INTEGERS, _BINARY, _STRUCT = 1, 2, (4, 5, 6), 8, 12
# Parquet's names of the codecs that stage one writes, and pyarrow's.
_CODECS = {"ZSTD": "zstd", "UNCOMPRESSED": None}


def fill(
    values: NDArray[np.floating], path: Path, rows: pq.RowGroupMetaData, name: str, *, check: bool = True
) -> bool:
    """Fill an array with the lists of a row group, if each of its rows has one.

    Args:
        values: (rows, width), whose type is that of the column's values.
        path: of the file.
        rows: the row group.
        name: of the column.
        check: compare the pages with their checksums.

    Returns:
        Whether it was filled. If not, pyarrow has to read it: some row has no list, the layout is not that of
        plain data pages, under zstd or as they are, or a page is damaged.
    """
    columns = (rows.column(index) for index in range(rows.num_columns))
    chunk = next(column for column in columns if column.path_in_schema.partition(".")[0] == name)
    statistics = chunk.statistics
    full = chunk.num_values == values.size and statistics is not None and statistics.null_count == 0
    if not full or chunk.compression not in _CODECS or chunk.has_dictionary_page:
        return False
    with pa.memory_map(str(path)) as file:
        file.seek(chunk.data_page_offset)
        pages = file.read_buffer(chunk.total_compressed_size)
    try:
        _unpack(memoryview(pages).cast("B"), values.reshape(-1), chunk, check=check)
    except (IndexError, KeyError, TypeError, ValueError, pa.ArrowException, OSError):
        return False
    return True


def _unpack(
    pages: memoryview, values: NDArray[np.floating], chunk: pq.ColumnChunkMetaData, *, check: bool
) -> None:
    name, at, start = _CODECS[chunk.compression], 0, 0
    codec = pa.Codec(name) if name else None
    while start < len(values):
        header, at = _struct(pages, at)
        page, size, packed = header[_DATA_PAGE], header[_SIZE], pages[at : at + header[_PACKED_SIZE]]
        end, num_bytes = start + page[_NUM_VALUES], page[_NUM_VALUES] * values.itemsize
        plain = (header[_TYPE], page[_ENCODING]) == (_DATA_PAGE_V1, _PLAIN)
        if not plain or not 0 < num_bytes <= size <= chunk.total_uncompressed_size:
            raise ValueError("another layout")
        if check and crc32(packed) != header[_CHECKSUM] % 2**32:
            raise ValueError("a damaged page")
        whole = codec.decompress(packed, size) if codec else packed
        if len(whole) != size:
            raise ValueError("a page of another size")
        # Levels stand before the values, and have the rest of the page.
        values[start:end] = np.frombuffer(whole, values.dtype, page[_NUM_VALUES], size - num_bytes)
        at, start = at + len(packed), end


def _struct(data: memoryview, at: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by their numbers, those of bytes left out, and where it ends."""
    fields, number = dict[int, Any](), 0
    while byte := data[at]:
        step, kind, at = byte >> 4, byte & 15, at + 1
        if not step:
            raise ValueError("a number of the long form, which no header has")
        number += step
        if kind in _INTEGERS:
            value, at = _varint(data, at)
            fields[number] = value >> 1 ^ -(value & 1)
        elif kind == _BINARY:
            size, at = _varint(data, at)
            at += size
        elif kind == _STRUCT:
            fields[number], at = _struct(data, at)
        elif kind not in {_TRUE, _FALSE}:
            raise ValueError("a kind of field which no header has")
    return fields, at + 1


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first, and where they end."""
    value = shift = 0
    while (byte := data[at]) >= 128:
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
    return value | byte << shift, at + 1
