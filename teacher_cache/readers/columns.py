"""Arrow columns to rows, for Parquet files and saved Hugging Face datasets.

Columns mean what they mean in our JSON lines (`KNOWN_COLUMNS`); a column of embedded files (`struct<bytes,
path>`, as Hugging Face's Image has them) is media; numbers and truth values become text; every other column
is a field.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import types

from schemas.errors import SourceError
from schemas.example import Media
from teacher_cache.readers.delimited import KNOWN_COLUMNS
from teacher_cache.readers.labels import RawLabel
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked

_TEXTS = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
_BYTES = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_null)
_SCALARS = (*_TEXTS, types.is_integer, types.is_floating, types.is_boolean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a table are read, and as what.

    Attributes:
        known: names of those that mean what they mean in JSON lines.
        fields: names of those that are fields.
        embedded: names of those that hold files.
        others: names of those that cannot be a field.
    """

    known: tuple[str, ...]
    fields: tuple[str, ...]
    embedded: tuple[str, ...]
    others: tuple[str, ...]


def sort_columns(where: str, schema: pa.Schema) -> Columns:
    """Say what each column of a schema is.

    Raises:
        SourceError: a name stands twice, or is no text.
    """
    try:
        names = list(schema.names)
        embedded = [name for name, kind in zip(names, schema.types, strict=True) if _is_embedded(kind)]
    except UnicodeDecodeError:
        raise SourceError(f"{where}: the name of a column is not UTF-8; write the file again") from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise SourceError(f"{where}: the column {twice[0]} stands twice; give each its own name")
    rest = [name for name in names if name not in embedded]
    fields = [name for name in rest if name not in KNOWN_COLUMNS and _is_scalar(schema.field(name).type)]
    return Columns(
        known=tuple(name for name in rest if name in KNOWN_COLUMNS),
        fields=tuple(fields),
        embedded=tuple(embedded),
        others=tuple(name for name in rest if name not in (*KNOWN_COLUMNS, *fields)),
    )


def _is_embedded(kind: pa.DataType) -> bool:
    if _is_list(kind):
        return _is_embedded(kind.value_type)
    if not types.is_struct(kind):
        return False
    parts = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    if set(parts) != {"bytes", "path"}:
        return False
    return any(is_kind(parts["bytes"]) for is_kind in _BYTES) and any(
        is_kind(parts["path"]) for is_kind in _TEXTS
    )


def _is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_scalar(kind: pa.DataType) -> bool:
    if types.is_dictionary(kind):
        return _is_scalar(kind.value_type)
    return any(is_kind(kind) for is_kind in _SCALARS)


@dataclass(slots=True, kw_only=True)
class TableReader:
    """Rows of one table, batch after batch.

    Attributes:
        path: of the table, for messages.
        columns: what to read.
        media: takes the embedded files.
        label_of: a label of the table to one that `parse_label` knows, given the row's task.
        num_rows: rows so far.
    """

    path: object
    columns: Columns
    media: MediaReader
    label_of: Callable[[str, str | None, Any], RawLabel]
    num_rows: int = field(default=0)

    def rows(self, batch: pa.RecordBatch) -> Iterator[tuple[str, PromptRow]]:
        """Rows with their places, counted from 1 over all batches.

        Raises:
            SourceError: a value is not as it should be.
        """
        plain = (*self.columns.known, *self.columns.fields)
        values = {name: self._sound(batch, name).to_pylist() for name in plain}
        files = [self._files(self._sound(batch, name)) for name in self.columns.embedded]
        for index in range(batch.num_rows):
            self.num_rows += 1
            place = f"row {self.num_rows}"
            record = {name: column[index] for name, column in values.items()}
            yield place, self._row(place, record, [item for column in files for item in column[index]])

    def _sound(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """A column whose offsets and texts were checked: a damaged one could read anywhere in memory."""
        column = batch.column(name)
        try:
            column.validate(full=True)
        except pa.ArrowException as error:
            raise SourceError(
                f"{self.path}: the column {name} is damaged among the rows from {self.num_rows + 1}: "
                f"{' '.join(str(error).split())[:200]}; write the file again"
            ) from None
        return column

    def _row(self, place: str, record: Mapping[str, Any], embedded: list[Media]) -> PromptRow:
        where = f"{self.path}, {place}"
        given = {name: record[name] for name in self.columns.known if record[name] is not None}
        if isinstance(given.get("example_id"), int):
            given["example_id"] = str(given["example_id"])
        if "label" in given:
            given["label"] = self.label_of(place, given.get("task"), given["label"])
        if "messages" in given:
            given["messages"] = _messages(where, given["messages"])
        named = given.get("media", [])
        given["media"] = [_without_nulls(item) for item in (named if isinstance(named, list) else [named])]
        given["media"] += [{"path": item.path, "sha256": item.sha256} for item in embedded]
        given["fields"] = {
            name: str(record[name]) for name in self.columns.fields if record[name] is not None
        }
        return checked(where, PromptRow, given)

    def _files(self, column: pa.Array) -> list[list[Media]]:
        if _is_list(column.type):
            return [
                []
                if not scalar.is_valid
                else [item for files in self._files(scalar.values) for item in files]
                for scalar in column
            ]
        return [[media] if (media := self._file(scalar)) else [] for scalar in column]

    def _file(self, scalar: pa.StructScalar) -> Media | None:
        if not scalar.is_valid:
            return None
        path = scalar["path"].as_py() if scalar["path"].is_valid else None
        if scalar["bytes"].is_valid:
            # A view into the mapped file: a picture takes memory only while it is sent.
            return self.media.embed(memoryview(scalar["bytes"].as_buffer()), PurePosixPath(path or "").suffix)
        return self.media.item(path) if path else None


def _messages(where: str, given: Any) -> Any:
    if not isinstance(given, str):
        return _without_nulls(given)
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: messages: no JSON: {error}; mend the row") from None


def _without_nulls(value: Any) -> Any:
    """Arrow gives every struct all keys; those without a value were not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
