"""Classes of a Hugging Face dataset to those of a task, by name or, where no name fits, by number."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.labels import RawLabel

UNLABELLED = -1


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """The names that the schema's `huggingface` metadata gives a column's classes, if it has any."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        feature = features[column]
        # One class, or a list of classes in one of the two ways that versions of the library write one.
        while not isinstance(feature, dict) or "feature" in feature:
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        return tuple(map(str, feature["names"])) if feature.get("_type") == "ClassLabel" else ()
    except (ValueError, KeyError, TypeError, IndexError):
        return ()


@dataclass(frozen=True, slots=True)
class ClassTable:
    """How labels of a dataset become labels of a task.

    Attributes:
        classes: the task's class for each of the dataset's; None where one of the two names no classes.
        notice: what to tell the user where names say nothing to the task; empty elsewhere.
    """

    classes: tuple[int, ...] | None = None
    notice: str = ""

    def label(self, label: Any) -> RawLabel:
        """A label of the dataset to one of the task; -1 is how Hugging Face writes none."""
        if isinstance(label, int) and not isinstance(label, bool) and label == UNLABELLED:
            return None
        if isinstance(label, list):
            return [self._class(item) for item in label]
        return self._class(label)

    def _class(self, label: Any) -> Any:
        # What is none of the dataset's classes is left as it is, for the task to refuse.
        if self.classes is None or not isinstance(label, int) or isinstance(label, bool):
            return label
        return self.classes[label] if 0 <= label < len(self.classes) else label


def class_table(where: str, names: Sequence[str], task: TaskSpec) -> ClassTable:
    """Match the classes of a dataset to those of a task.

    Raises:
        SourceError: some names fit and some do not, or none do and the numbers differ.
    """
    if not names or not task.classes:
        return ClassTable()
    ours = {name.casefold(): index for index, name in enumerate(task.classes)}
    found = tuple(ours[name.casefold()] for name in names if name.casefold() in ours)
    if len(found) == len(names):
        return ClassTable(found)
    if not found and len(names) == len(ours):
        pairs = ", ".join(f"{theirs} as {own}" for theirs, own in zip(names, task.classes, strict=True))
        return ClassTable(
            tuple(range(len(ours))), f"{where}: its classes are taken by their numbers: {pairs}"
        )
    raise SourceError(
        f"{where}: its classes are {', '.join(names)}, task {task.name} has {', '.join(task.classes)}; "
        "rename the dataset's classes"
    )
