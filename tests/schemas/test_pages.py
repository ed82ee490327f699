"""Arrays out of a file's pages: what pyarrow reads, or nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from schemas.pages import fill

WIDTH, NAME = 384, "teacher_repr"
Values = NDArray[np.floating]


def written(path: Path, values: Values, missing: tuple[int, ...] = (), **options: Any) -> Values:
    """A shard's row groups, written as stage one writes them but for some options."""
    mask = pa.array([row in missing for row in range(len(values))])
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1], mask=mask)
    table = pa.table({"example_id": [str(row) for row in range(len(values))], NAME: lists})
    settings: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": False,
        "write_page_checksum": True,
    } | options
    pq.write_table(table, path, row_group_size=3000, **settings)
    return values


def read(path: Path, values: Values) -> list[Values | None]:
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    arrays = [np.zeros((group.num_rows, values.shape[1]), values.dtype) for group in groups]
    with pa.memory_map(str(path)) as file:
        return [
            a if fill(a, file, group.column(1)) else None for a, group in zip(arrays, groups, strict=True)
        ]


def filled(values: Values, path: Path, chunk: Any) -> bool:
    with pa.memory_map(str(path)) as file:
        return fill(values, file, chunk)


def random(rows: int, dtype: type[np.floating], width: int = WIDTH) -> Values:
    return np.random.default_rng(0).standard_normal((rows, width)).astype(dtype)


@pytest.mark.parametrize("codec", ["zstd", "none"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("rows", [1, 7, 3000, 4000])
def test_every_value_of_every_page(tmp_path: Path, rows: int, dtype: type[np.floating], codec: str) -> None:
    # 3,000 rows are several pages, which end within a row.
    values = written(tmp_path / "shard", random(rows, dtype), compression=codec)
    found = [group for group in read(tmp_path / "shard", values) if group is not None]
    assert np.array_equal(np.concatenate(found), values)
    assert {group.dtype for group in found} == {values.dtype}


def test_values_that_no_comparison_orders(tmp_path: Path) -> None:
    # Without a smallest and a largest value a header is shorter.
    values = written(tmp_path / "shard", np.full((10, 3), np.nan, np.float16))
    (found,) = read(tmp_path / "shard", values)
    assert found is not None
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    "options",
    [
        {"missing": (5,)},
        {"compression": "snappy"},
        {"data_page_version": "2.0"},
        {"use_dictionary": True},
        {"use_byte_stream_split": [f"{NAME}.list.element"]},
        {"write_statistics": False},
        {"write_page_checksum": False},
    ],
    ids=lambda options: "-".join(map(str, next(iter(options.items())))),
)
def test_another_layout_is_left_to_pyarrow(tmp_path: Path, options: dict[str, Any]) -> None:
    values = written(tmp_path / "shard", random(10, np.float32), **options)
    assert read(tmp_path / "shard", values) == [None]


@pytest.mark.parametrize("codec", ["zstd", "none"])
def test_no_damage_is_read(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "shard"
    values = written(path, random(40, np.float16), compression=codec)
    whole, metadata = path.read_bytes(), pq.read_metadata(path)
    chunk, dice = metadata.row_group(0).column(1), np.random.default_rng(1)
    start = chunk.data_page_offset
    header = range(start, start + 60)
    anywhere = dice.integers(start, start + chunk.total_compressed_size, 300)
    left = 0
    for place in [*header, *anywhere.tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(dice.integers(8))
        path.write_bytes(damaged)
        found = np.zeros_like(values)
        is_filled = filled(found, path, chunk)
        # A bit of a page's smallest value, of which nothing is read here, changes nothing.
        assert not is_filled or np.array_equal(found, values)
        left += not is_filled
    assert left > 300


def test_a_file_cut_short_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    values = written(path, random(40, np.float16))
    metadata, whole = pq.read_metadata(path), path.read_bytes()
    chunk = metadata.row_group(0).column(1)
    for end in (chunk.data_page_offset, chunk.data_page_offset + 30, chunk.data_page_offset + 9000):
        path.write_bytes(whole[:end])
        assert not filled(np.zeros_like(values), path, chunk)


@pytest.mark.parametrize("byte", [0x1C, 0xFF, 0x15, 0x00], ids=["structs", "long-number", "fields", "empty"])
def test_bytes_that_never_end_are_soon_given_up(tmp_path: Path, byte: int) -> None:
    path = tmp_path / "shard"
    values = written(path, random(2000, np.float16), compression="none")
    chunk = pq.read_metadata(path).row_group(0).column(1)
    damaged, start = bytearray(path.read_bytes()), chunk.data_page_offset
    damaged[start + 1 : start + 1_000_000] = bytes([byte]) * (1_000_000 - 1)
    path.write_bytes(damaged)
    assert not filled(np.zeros_like(values), path, chunk)
