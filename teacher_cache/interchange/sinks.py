"""Where exported rows go: JSON lines, or Parquet a row group at a time."""

import json
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Rows of one row group: what is in memory as lists of Python's.
_GROUP_ROWS = 64
Put = Callable[[dict[str, Any]], None]


def open_sink(schema: pa.Schema | None, path: Path) -> AbstractContextManager[Put]:
    """Give a function that writes a row: by key to JSON lines, or by column where there is a schema."""
    return _lines(path) if schema is None else _groups(path, schema)


@contextmanager
def _lines(path: Path) -> Generator[Put]:
    with path.open("w", encoding="utf-8") as file:

        def put(record: dict[str, Any]) -> None:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

        yield put


@contextmanager
def _groups(path: Path, schema: pa.Schema) -> Generator[Put]:
    waiting: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:

        def flush() -> None:
            if waiting:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                waiting.clear()

        def put(record: dict[str, Any]) -> None:
            waiting.append(record)
            if len(waiting) == _GROUP_ROWS:
                flush()

        yield put
        flush()
