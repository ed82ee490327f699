"""Foreign Parquet files row by row, with the row's number in every complaint."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SourceError

_BATCH_ROWS = 16


def read_rows(
    path: Path, needed: Sequence[str], name: str, as_arrays: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows by column, each with its place, from 1.

    Args:
        path: of the file.
        needed: columns that each row must have.
        name: of the format.
        as_arrays: columns of lists that stay arrays: as lists of Python's they would take most of the time.

    Raises:
        SourceError: it is no Parquet file, is cut short, lacks a column, or a row has none in it.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not there; give a file of --format {name}, or a folder of them")
    number = 0
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            _check_columns(path, file.schema_arrow, needed, name)
            for batch in file.iter_batches(_BATCH_ROWS):
                for row in _rows(batch, as_arrays):
                    number += 1
                    yield _whole(f"{path}, row {number}", row, needed)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path} cannot be read as Parquet ({reason}); write it again") from None
    if not number:
        raise SourceError(f"{path} is empty, at least one row is wanted")


def _rows(batch: pa.RecordBatch, as_arrays: Sequence[str]) -> Iterator[dict[str, Any]]:
    plain = batch.drop_columns([name for name in as_arrays if name in batch.schema.names])
    for index, row in enumerate(plain.to_pylist()):
        yield row | {name: batch.column(name)[index].values for name in as_arrays}


def _check_columns(path: Path, schema: pa.Schema, needed: Sequence[str], name: str) -> None:
    if missing := [column for column in needed if column not in schema.names]:
        raise SourceError(
            f"{path} has the columns {', '.join(schema.names)[:200]}, --format {name} needs {missing[0]}; "
            "name the file's own format"
        )


def _whole(place: str, row: dict[str, Any], needed: Sequence[str]) -> tuple[str, dict[str, Any]]:
    if missing := [column for column in needed if row[column] is None]:
        raise SourceError(f"{place}: {missing[0]} is null; give a value, or take the row out")
    return place, row
