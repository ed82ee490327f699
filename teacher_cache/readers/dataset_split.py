"""One split of a dataset of the `datasets` library, as Arrow batches, to rows of a task."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from schemas.tasks import LabelKind, TaskSpec
from teacher_cache.readers.class_names import UNLABELLED, ClassTable, class_names, class_table
from teacher_cache.readers.columns import Columns, names_of, sort_columns
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.labels import RawLabel
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.reading import Reading
from teacher_cache.readers.table import TableReader

_SPLITS = ("train", "validation", "test")
# What columns are called by those who publish a task there, by task or family, and what they are here.
_NAMES: dict[str, dict[str, str]] = {
    "superglue/boolq": {"answer": "label"},
    "glue/mnli": {"sentence1": "premise", "sentence2": "hypothesis"},
    "instructions": {"context": "input", "response": "label", "output": "label"},
    "reasoning": {"output": "label"},
}


def sorted_splits(where: str, names: Sequence[str], task: TaskSpec) -> list[tuple[str, str, str]]:
    """The name of each split, which of ours it is, and which part of the task it holds.

    Raises:
        SourceError: one is none of ours, or two would be the same.
    """
    found = [(name, *_split_of(where, name, task)) for name in names]
    for name, split, part in found:
        if rivals := [other for other, *its in found if its == [split, part] and other != name]:
            raise SourceError(
                f"{where}: {name} and {rivals[0]} would both be {split}; give one split's folder as "
                "--source, or save the dataset again with one of them"
            )
    return found


def _split_of(where: str, name: str, task: TaskSpec) -> tuple[str, str]:
    """`validation_matched` is validation, and that part of a task that has it; `train[:10%]` is train."""
    stem = re.match(r"[a-z]*", name)
    if stem is None or stem[0] not in _SPLITS:
        raise SourceError(
            f"{where}: the split {name} is none of {', '.join(_SPLITS)}; save the dataset again with splits "
            "of these names"
        )
    rest = name[stem.end() :].lstrip("_")
    return stem[0], rest if rest in task.parts else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSplit:
    """A split that is read.

    Attributes:
        path: of the dataset or the split, for messages.
        name: of the split, as the dataset has it; may be empty.
        split: which of ours it is.
        part: which part of the task; empty for none.
        task: what its rows are.
        media: takes the embedded files.
    """

    path: Path
    name: str
    split: str
    part: str
    task: TaskSpec
    media: MediaReader

    def read(self, batches: Iterable[pa.RecordBatch]) -> Reading:
        """Read the columns that the task has; rows are named by `example_id`, or by split and position.

        Raises:
            SourceError: a column is missing, or a row is not as it should be.
        """
        gathering = Gathering(path=self.path, task_name=self.task.name, media=self.media)
        reader: TableReader | None = None
        notices: tuple[str, ...] = ()
        for raw in batches:
            names = names_of(str(self.path), raw.schema)
            batch = raw.rename_columns([self._own_name(name, names) for name in names])
            if reader is None:
                reader, notices = self._reader(raw.schema, batch.schema)
            for place, row in reader.rows(batch):
                own = row.example_id or self._row_id(reader.num_rows)
                gathering.add(place, row.model_copy(update={"example_id": own, "split": self.split}))
        return gathering.done(*notices) if gathering.num_rows else Reading(task=self.task, examples=[])

    def _row_id(self, number: int) -> str:
        # Rows of two splits may have the same position.
        if self.part:
            return f"{self.part}/{self.split}-{number:06d}"
        return f"{self.name or self.split}-{number:06d}"

    def _own_name(self, name: str, names: Sequence[str]) -> str:
        known: Mapping[str, str] = (
            _NAMES.get(self.task.name) or _NAMES.get(self.task.name.partition("/")[0]) or {}
        )
        ours = known.get(name, name)
        return name if ours in names else ours

    def _reader(self, raw: pa.Schema, schema: pa.Schema) -> tuple[TableReader, tuple[str, ...]]:
        columns = self._columns(schema)
        theirs = raw.names[schema.names.index("label")] if "label" in columns.known else ""
        names = class_names(raw, theirs) if theirs else ()
        table = class_table(str(self.path), names, self.task)
        notices = [table.notice] if table.notice else []
        if "label" in schema.names and "label" not in columns.known:
            notices.append(f"the column label is not read: task {self.task.name} has no labels")

        def label_of(_place: str, _task: str | None, label: Any) -> RawLabel:
            return self._label(label, table)

        reader = TableReader(path=self.path, columns=columns, media=self.media, label_of=label_of)
        return reader, tuple(notices)

    def _label(self, label: Any, table: ClassTable) -> RawLabel:
        if self.task.classes:
            # A column of truth values is one of classes where these are named so.
            named = isinstance(label, bool) and str(label) in self.task.classes
            return str(label) if named else table.label(label)
        lowest = self.task.value_range[0] if self.task.value_range else UNLABELLED
        return None if label == UNLABELLED and lowest > UNLABELLED else label

    def _columns(self, schema: pa.Schema) -> Columns:
        """What the task wants; a dataset of others has columns that are no business of ours."""
        found = sort_columns(str(self.path), schema)
        known = [name for name in found.known if name not in ("task", "split")]
        if self.task.label_kind is LabelKind.NONE:
            known = [name for name in known if name != "label"]
        if missing := [name for name in self.task.fields if name not in found.fields]:
            raise SourceError(
                f"{self.path}: no column {missing[0]} of texts, which task {self.task.name} wants, among "
                f"{', '.join(schema.names)}; rename one, or choose another --task"
            )
        fields = self.task.fields or found.fields
        return Columns(known=tuple(known), fields=fields, embedded=found.embedded, others=())
