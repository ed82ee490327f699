"""Rows of Arrow batches, for Parquet files and saved Hugging Face datasets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from schemas.example import Media
from teacher_cache.readers.columns import Columns, is_list
from teacher_cache.readers.json_text import read_json
from teacher_cache.readers.labels import RawLabel
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked


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
        if is_list(column.type):
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
        return read_json(given)
    except ValueError as error:
        raise SourceError(f"{where}: messages: {error}; mend the row") from None


def _without_nulls(value: Any) -> Any:
    """Arrow gives every struct all keys; those without a value were not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
