"""Parquet: each row a row, its columns as `teacher_cache.readers.columns` has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from teacher_cache.readers.class_names import ClassTable, class_names, class_table
from teacher_cache.readers.columns import sort_columns
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.labels import RawLabel
from teacher_cache.readers.reading import Reading
from teacher_cache.readers.table import TableReader

# A name in the footer that is no UTF-8 comes out of pyarrow as it is.
_DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)


def read_parquet(path: Path, gathering: Gathering) -> Reading:
    """Read a file of prompts.

    Raises:
        SourceError: it cannot be read, or a row is not as it should be.
    """
    schema, batches = _opened(path)
    columns = sort_columns(str(path), schema)
    if columns.others:
        raise SourceError(
            f"{path}: the column {columns.others[0]} is {schema.field(columns.others[0]).type}, a field is a "
            "text or a number; leave it out, or write it as text"
        )
    names = class_names(schema, "label")
    tables: dict[str, ClassTable] = {}

    def label_of(place: str, task_name: str | None, label: Any) -> RawLabel:
        if not names:
            return label
        task = gathering.task_of(place, task_name)
        if task.name not in tables:
            tables[task.name] = class_table(str(path), names, task)
        return tables[task.name].label(label)

    reader = TableReader(path=path, columns=columns, media=gathering.media, label_of=label_of)
    for batch in batches:
        for place, row in reader.rows(batch):
            gathering.add(place, row)
    return gathering.done(*(table.notice for table in tables.values() if table.notice))


def _opened(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        return file.schema_arrow, _batches(path, file)
    except _DAMAGED as error:
        raise SourceError(_damaged(path, error)) from None


def _batches(path: Path, file: Any) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches()
    except _DAMAGED as error:
        raise SourceError(_damaged(path, error)) from None


def _damaged(path: Path, error: Exception) -> str:
    return f"{path} is no Parquet file that can be read: {' '.join(str(error).split())[:200]}; write it again"
