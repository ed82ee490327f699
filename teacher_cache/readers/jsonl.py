"""`--prompts FILE`: one JSON object a line, in our own terms.

    {"example_id": "a1", "task": "movie-sentiment", "split": "train", "fields": {"text": "Fine."}, "label": 1}

`task` may be left out; `prompt` overrides the task's template; `label` is a class name or number, a list of
them, a number or a text, as the task has it; `media` is a list of `{"path": ..., "sha256": ...}`.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import SourceError
from schemas.example import Example, Media
from schemas.tasks import TASKS, TaskSpec, find_task
from teacher_cache.readers.labels import RawLabel, parse_label
from teacher_cache.readers.lines import read_lines


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Media(_Line):
    path: str
    sha256: str


class _Prompt(_Line):
    example_id: str
    task: str | None = None
    split: Literal["train", "validation", "test"] = "train"
    fields: dict[str, str] = {}
    label: RawLabel = None
    media: list[_Media] = []
    prompt: str | None = None


def read_jsonl(path: Path, task_name: str | None) -> tuple[TaskSpec, list[Example]]:
    """Read the examples of one task.

    Args:
        path: of the file.
        task_name: the task; None takes the first row's, or `free`.

    Raises:
        SourceError: the file is missing, empty or not UTF-8, or a line is not as it should be, by its number.
    """
    task: TaskSpec | None = None
    examples: list[Example] = []
    lines: dict[str, int] = {}
    for number, text in read_lines(path):
        where = f"{path}, line {number}"
        row = _parsed(where, text)
        task = task or _task_of(where, task_name or row.task or "free")
        if (first := lines.setdefault(row.example_id, number)) != number:
            raise SourceError(
                f"{where}: example_id {row.example_id} stands in line {first} too; give each its own"
            )
        examples.append(_example(where, row, task))
    assert task is not None, "a file without lines was refused"
    return task, examples


def _parsed(where: str, text: str) -> _Prompt:
    try:
        return _Prompt.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        keys = ".".join(map(str, fault["loc"]))
        raise SourceError(f"{where}: {keys + ': ' if keys else ''}{fault['msg']}; mend the line") from None


def _task_of(where: str, name: str) -> TaskSpec:
    if name not in TASKS:
        raise SourceError(f"{where}: no task {name}; choose from {', '.join(sorted(TASKS))}")
    return find_task(name)


def _example(where: str, row: _Prompt, task: TaskSpec) -> Example:
    if row.task not in (None, task.name):
        raise SourceError(f"{where}: task {row.task}, this run has {task.name}; keep one task a file")
    if row.prompt is None and not row.fields:
        raise SourceError(f"{where}: neither fields nor prompt, so there is nothing to ask; add one of them")
    try:
        return Example(
            id=row.example_id,
            task=task.name,
            split=row.split,
            # A JSON object has no order of its own, a task's fields have.
            fields={name: row.fields[name] for name in task.fields if name in row.fields} | row.fields,
            label=parse_label(row.label, task),
            media=tuple(Media(_inside(item.path), item.sha256) for item in row.media),
            prompt=row.prompt,
        )
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from None


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"media path {path} leaves the folder of the file; give a path below it")
    return path
