"""Labels as people write them in a file, to labels as a task wants them."""

import json

from schemas.example import Label
from schemas.tasks import LabelKind, TaskSpec

RawLabel = bool | int | float | str | list[int | str] | None


def parse_label(raw: RawLabel, task: TaskSpec) -> Label:
    """Read a label in the one form that the task's label kind uses.

    Raises:
        ValueError: it is none of the task; the message says what would be.
    """
    if raw is None:
        return Label()
    match task.label_kind:
        case LabelKind.SINGLE:
            return Label(class_ids=(_class_id(raw, task),))
        case LabelKind.MULTI:
            return Label(class_ids=tuple(_class_id(item, task) for item in _items(raw, task)))
        case LabelKind.REGRESSION:
            return Label(value=_value(raw, task))
        case LabelKind.GENERATIVE:
            return Label(target_text=_text(raw, task))
        case LabelKind.NONE:
            raise ValueError(f"label {raw!r}: task {task.name} has none; leave it out, or give --task")


def _class_id(raw: object, task: TaskSpec) -> int:
    if isinstance(raw, str) and raw in task.classes:
        return task.classes.index(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < len(task.classes):
        return raw
    wanted = ", ".join(f"{index} ({name})" for index, name in enumerate(task.classes))
    raise ValueError(f"label {raw!r} is not one of task {task.name}: {wanted}")


def _items(raw: object, task: TaskSpec) -> list[object]:
    if not isinstance(raw, list):
        # Not a TypeError: the fault is in the file, like that of any other label.
        raise ValueError(f"label {raw!r}: task {task.name} wants a list of classes")  # noqa: TRY004
    return raw


def _value(raw: object, task: TaskSpec) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        raise ValueError(f"label {raw!r}: task {task.name} wants a number")  # noqa: TRY004
    low, high = task.value_range or (float("-inf"), float("inf"))
    if not low <= raw <= high:
        raise ValueError(f"label {raw}: task {task.name} wants a number from {low} to {high}")
    return float(raw)


def _text(raw: object, task: TaskSpec) -> str:
    if isinstance(raw, str):
        return raw
    raise ValueError(f"label {raw!r}: task {task.name} wants a text")


def label_of_text(text: str, task: TaskSpec) -> RawLabel:
    """A label written as text, as in a cell, to what a JSON line would have; `parse_label` judges it."""
    if task.label_kind is LabelKind.GENERATIVE or text in task.classes:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
