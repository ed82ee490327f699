"""Rows of a file of any format to the examples of one task, checked as they come."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import SourceError
from schemas.example import Example, Label, Media, conversation_text
from schemas.tasks import TASKS, LabelKind, TaskSpec, find_task, like
from teacher_cache.readers.conversation import Conversation, read_conversation
from teacher_cache.readers.labels import parse_label
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow
from teacher_cache.readers.reading import Reading

# With the separators of lines and paragraphs: an id is a name in one line of a report.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(slots=True, kw_only=True)
class Gathering:
    """Rows of one file, checked as they come.

    Attributes:
        path: of the file, for messages.
        task_name: the task; None takes the first row's, or `free`.
        media: reads what rows say of pictures and sounds.
    """

    path: Path
    task_name: str | None
    media: MediaReader
    _task: TaskSpec | None = None
    _examples: list[Example] = field(default_factory=list[Example])
    _places: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def num_rows(self) -> int:
        """Rows so far."""
        return len(self._examples)

    def task_of(self, place: str, name: str | None) -> TaskSpec:
        """The task of the file, settled by its first row.

        Raises:
            SourceError: there is no such task, or this row has another one.
        """
        if self._task is None:
            chosen = self.task_name or name or "free"
            if chosen not in TASKS:
                raise SourceError(f"{self.path}, {place}: no task {chosen}; choose from {like(chosen)}")
            self._task = find_task(chosen)
        if name not in (None, self._task.name):
            raise SourceError(
                f"{self.path}, {place}: task {name}, this run has {self._task.name}; keep one task a file"
            )
        return self._task

    def add(self, place: str, row: PromptRow) -> None:
        """Take one row.

        Args:
            place: `line 3` or `row 3`.
            row: as the file has it; without an id it gets one from its position.

        Raises:
            SourceError: it is not as it should be.
        """
        where = f"{self.path}, {place}"
        task = self.task_of(place, row.task)
        identifier = f"row-{self.num_rows + 1:06d}" if row.example_id is None else row.example_id
        if not identifier.strip():
            raise SourceError(f"{where}: the example_id is blank; give each row its own")
        if _CONTROL.search(identifier):
            raise SourceError(
                f"{where}: the example_id {identifier[:40]!r} has a control character; take it out"
            )
        if (first := self._places.setdefault(identifier, place)) != place:
            raise SourceError(f"{where}: example_id {identifier} stands in {first} too; give each its own")
        if row.prompt is None and not (row.fields or row.messages or row.media):
            raise SourceError(
                f"{where}: neither fields nor prompt nor messages, so there is nothing to ask; add one"
            )
        try:
            example = _example(identifier, row, task, self.media)
            _check_texts(example)
            self._examples.append(example)
        except ValueError as error:
            raise SourceError(f"{where}: {error}") from None

    def done(self, *notices: str) -> Reading:
        """All that was taken.

        Raises:
            SourceError: that is nothing.
        """
        if self._task is None:
            raise SourceError(f"{self.path} is empty, at least one example is wanted")
        return Reading(
            task=self._task,
            examples=self._examples,
            root=self.media.root,
            inline=self.media.inline,
            notices=notices,
        )


def _example(identifier: str, row: PromptRow, task: TaskSpec, media: MediaReader) -> Example:
    attached = tuple(media.item(item.path, item.sha256.lower()) for item in row.media)
    talk = _conversation(row, media, attached)
    alone = talk is not None and len(talk.messages) == 1
    prompt = row.prompt if talk is None else conversation_text(talk.messages)
    return Example(
        id=identifier,
        task=task.name,
        split=row.split,
        # A JSON object has no order of its own, a task's fields have.
        fields={name: row.fields[name] for name in task.fields if name in row.fields} | row.fields,
        label=_label(row, talk, task),
        media=attached if talk is None else talk.media,
        prompt=talk.messages[0].content if talk is not None and alone else prompt,
        messages=() if talk is None or alone else talk.messages,
    )


def _check_texts(example: Example) -> None:
    turns = [turn.content for turn in example.messages]
    texts = [*example.fields, *example.fields.values(), example.prompt, example.label.target_text, *turns]
    if any("\0" in text for text in texts if text):
        raise ValueError("a NUL character, which no text has; take it out")


def _conversation(row: PromptRow, media: MediaReader, attached: tuple[Media, ...]) -> Conversation | None:
    if row.messages is None:
        return None
    if row.prompt is not None:
        raise ValueError("prompt and messages both say what to ask; keep one of them")
    return read_conversation(row.messages, media, attached)


def _label(row: PromptRow, talk: Conversation | None, task: TaskSpec) -> Label:
    reference = None if talk is None else talk.reference
    if reference is None:
        return parse_label(row.label, task)
    if row.label is not None:
        raise ValueError("label and the last message of the assistant both give the answer; keep one of them")
    if task.label_kind is LabelKind.NONE:
        return Label(target_text=reference)
    return parse_label(reference, task)
