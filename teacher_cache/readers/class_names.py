"""Classes of a Hugging Face dataset to those of a task, by name or, where no name fits, by number."""

import json
from collections.abc import Sequence
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


def class_table(where: str, names: Sequence[str], task: TaskSpec) -> list[int] | None:
    """The task's class for each of the dataset's; None where one of the two has no classes.

    Raises:
        SourceError: some names fit and some do not, or none do and the numbers differ.
    """
    if not names or not task.classes:
        return None
    ours = {name.casefold(): index for index, name in enumerate(task.classes)}
    found = [ours.get(name.casefold()) for name in names]
    if None not in found:
        return [index for index in found if index is not None]
    if set(found) == {None} and len(names) == len(ours):
        return list(range(len(ours)))
    raise SourceError(
        f"{where}: its classes are {', '.join(names)}, task {task.name} has {', '.join(task.classes)}; "
        "rename the dataset's classes"
    )


def by_number(names: Sequence[str], task: TaskSpec) -> str:
    """What to tell the user where the classes' names say nothing to the task."""
    pairs = ", ".join(f"{theirs} as {ours}" for theirs, ours in zip(names, task.classes, strict=True))
    return f"its classes are taken by their numbers: {pairs}"


def translated(label: Any, table: Sequence[int] | None) -> RawLabel:
    """A label of the dataset to one of the task; -1 is how Hugging Face writes none."""
    if label == UNLABELLED and not isinstance(label, bool | float):
        return None
    if table is None:
        return label
    if isinstance(label, list):
        return [item if not _fits(item, table) else table[item] for item in label]
    return table[label] if _fits(label, table) else label


def _fits(label: Any, table: Sequence[int]) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(table)
