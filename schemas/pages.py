"""Arrays of lists of one width straight out of the pages of a Parquet file, without the levels of the lists.

Parquet says of each value where it stands in its list. Where every row has a list of one width, that is known
beforehand, yet reading it takes most of a reader's time (benchmarks/reading.py). What is laid out otherwise
is left to pyarrow, and so is saying what is wrong with a damaged page.

The format: https://parquet.apache.org/docs/file-format; a page's header is a struct of Thrift's compact
protocol.
"""

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
# A header has a page's, which has its statistics'.
_DEEPEST = 2
# Parquet's names of the codecs that stage one writes, and pyarrow's.
_CODECS = {"ZSTD": "zstd", "UNCOMPRESSED": None}


def fill(
    values: NDArray[np.floating],
    file: pa.NativeFile,
    chunk: pq.ColumnChunkMetaData,
    *,
    check: bool = True,
) -> bool:
    """Fill an array with the lists of a row group, if each of its rows has one.

    That every list has the width of the array is what the schema says and the levels are not asked: the
    file must be the one whose digest was compared.

    Args:
        values: (rows, width), whose type is that of the column's values.
        file: open; of one that is memory-mapped no byte is copied before it is unpacked.
        chunk: the column in that row group.
        check: compare the pages with their checksums.

    Returns:
        Whether it was filled. If not, pyarrow has to read it: some row has no list, the layout is not that of
        plain data pages, under zstd or as they are, or a page is damaged.
    """
    statistics = chunk.statistics
    full = chunk.num_values == values.size and statistics is not None and statistics.null_count == 0
    if not full or chunk.compression not in _CODECS or chunk.has_dictionary_page:
        return False
    try:
        file.seek(chunk.data_page_offset)
        pages = memoryview(file.read_buffer(chunk.total_compressed_size)).cast("B")
        _unpack(pages, values.reshape(-1), chunk, check=check)
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


def _struct(data: memoryview, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The fields of a struct by their numbers, those of bytes left out, and where it ends."""
    if depth > _DEEPEST:
        raise ValueError("structs within structs, more than a header has")
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
            fields[number], at = _struct(data, at, depth + 1)
        elif kind not in {_TRUE, _FALSE}:
            raise ValueError("a kind of field which no header has")
    return fields, at + 1


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first, and where they end."""
    value = 0
    for shift in range(0, 70, 7):
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than ten bytes")
