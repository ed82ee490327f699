"""A folder that `datasets` made with `save_to_disk`: one split, or a folder a split. pyarrow reads it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from schemas.tasks import LabelKind, TaskSpec
from teacher_cache.readers.class_names import class_names, class_table
from teacher_cache.readers.columns import Columns, sort_columns
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.labels import RawLabel
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.reading import Reading
from teacher_cache.readers.table import TableReader

_DICT_NAME = "dataset_dict.json"
_STATE_NAME = "state.json"
_SPLITS = ("train", "validation", "test")


def is_saved_dataset(folder: Path) -> bool:
    """Whether the folder was made by `save_to_disk`."""
    return any((folder / name).is_file() for name in (_DICT_NAME, _STATE_NAME))


def read_saved_dataset(folder: Path, task: TaskSpec) -> Reading:
    """Read the columns that a task has, or for a task of any fields all that can be a text.

    Rows are named by their `example_id`, or by split and position: `train-000001`. A label of -1 is none.

    Args:
        folder: of the dataset, or of one of its splits.
        task: what the rows are.

    Raises:
        SourceError: it cannot be read, lacks a column, or has splits or classes that are not the task's.
    """
    media = MediaReader(folder)
    readings = [
        _Split(folder=folder / name, name=name, split=split, task=task, media=media).read()
        for name, split in _splits(folder)
    ]
    return Reading(
        task=task,
        examples=[example for reading in readings for example in reading.examples],
        root=folder,
        inline=media.inline,
        notices=tuple(dict.fromkeys(notice for reading in readings for notice in reading.notices)),
    )


def _splits(folder: Path) -> list[tuple[str, str]]:
    """The folders of the splits and which of ours each is."""
    if not (folder / _DICT_NAME).is_file():
        found = _json(folder / _STATE_NAME).get("_split")
        return [("", _split_of(folder, "train" if found is None else str(found)))]
    names = [str(name) for name in _json(folder / _DICT_NAME).get("splits", [])]
    splits = [(name, _split_of(folder, name)) for name in names]
    for name, split in splits:
        if rivals := [other for other, its in splits if its == split and other != name]:
            raise SourceError(
                f"{folder}: {name} and {rivals[0]} would both be {split}; give one split's folder as "
                "--source, or save the dataset again with one of them"
            )
    return splits


def _split_of(folder: Path, name: str) -> str:
    """`validation_matched` is validation, `train[:10%]` is train."""
    stem = re.match(r"[a-z]*", name)
    if stem is None or stem[0] not in _SPLITS:
        raise SourceError(
            f"{folder}: the split {name} is none of {', '.join(_SPLITS)}; save the dataset again with splits "
            "of these names"
        )
    return stem[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    folder: Path
    name: str
    split: str
    task: TaskSpec
    media: MediaReader

    def read(self) -> Reading:
        gathering = Gathering(path=self.folder, task_name=self.task.name, media=self.media)
        reader: TableReader | None = None
        notices: tuple[str, ...] = ()
        for batch in _batches(self.folder):
            if reader is None:
                reader, notices = self._reader(batch.schema)
            for place, row in reader.rows(batch):
                # Rows of two splits may have the same position.
                own = row.example_id or f"{self.name or self.split}-{reader.num_rows:06d}"
                gathering.add(place, row.model_copy(update={"example_id": own, "split": self.split}))
        return gathering.done(*notices) if gathering.num_rows else Reading(task=self.task, examples=[])

    def _reader(self, schema: pa.Schema) -> tuple[TableReader, tuple[str, ...]]:
        columns = self._columns(schema)
        names = class_names(schema, "label") if "label" in columns.known else ()
        table = class_table(str(self.folder), names, self.task)
        notices = [table.notice] if table.notice else []
        if "label" in schema.names and "label" not in columns.known:
            notices.append(f"the column label is not read: task {self.task.name} has no labels")

        def label_of(_place: str, _task: str | None, label: Any) -> RawLabel:
            return table.label(label) if self.task.classes else label

        reader = TableReader(path=self.folder, columns=columns, media=self.media, label_of=label_of)
        return reader, tuple(notices)

    def _columns(self, schema: pa.Schema) -> Columns:
        """What the task wants; a dataset of others has columns that are no business of ours."""
        found = sort_columns(str(self.folder), schema)
        known = [name for name in found.known if name not in ("task", "split")]
        if self.task.label_kind is LabelKind.NONE:
            known = [name for name in known if name != "label"]
        if missing := [name for name in self.task.fields if name not in found.fields]:
            raise SourceError(
                f"{self.folder}: no column {missing[0]} of texts, which task {self.task.name} wants, among "
                f"{', '.join(schema.names)}; rename one, or choose another --task"
            )
        fields = self.task.fields or found.fields
        return Columns(known=tuple(known), fields=fields, embedded=found.embedded, others=())


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for path in _data_files(folder):
        try:
            yield from pa.ipc.open_stream(pa.memory_map(str(path)))
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SourceError(f"{path} cannot be read: {reason}; save the dataset again") from None


def _data_files(folder: Path) -> list[Path]:
    found = _json(folder / _STATE_NAME)
    try:
        return [folder / Path(item["filename"]).name for item in found["_data_files"]]
    except (KeyError, TypeError):
        raise SourceError(f"{folder / _STATE_NAME} lists no data files; save the dataset again") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}; save the dataset again") from None
    if not isinstance(found, dict):
        raise SourceError(f"{path} is no JSON object; save the dataset again")
    return found
