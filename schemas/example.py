"""An example: one row of a task, before any teacher has seen it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Media:
    """An image or a sound that is sent to the teacher with the prompt.

    Attributes:
        path: relative to the source folder; a URL; `inline/SHA256.EXT` where the source has the bytes itself.
        sha256: of the bytes, lower-case hexadecimal; empty where they could not be read, or are a URL's.
    """

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        content: the text.
        num_media: files of this turn: the next so many of `Example.media`; they stand before the text.
    """

    role: Role
    content: str
    num_media: int = 0


def conversation_text(messages: Sequence[Message]) -> str:
    """Write a conversation as one text: JSON in one fixed form, so that equal ones are equal texts."""
    turns = [
        {"role": turn.role, "content": turn.content}
        | ({"num_media": turn.num_media} if turn.num_media else {})
        for turn in messages
    ]
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


def turns_of(prompt: str) -> tuple[Message, ...]:
    """The turns of a prompt that is a conversation (`conversation_text`); empty where it is one text."""
    try:
        turns = cast("list[dict[str, Any]]", json.loads(prompt))
        messages = tuple(Message(**turn) for turn in turns)
    except (ValueError, TypeError, RecursionError):
        return ()
    known = all(message.role in get_args(Role) for message in messages)
    return messages if messages and known and conversation_text(messages) == prompt else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The right answer, in the one form that the task's label kind uses.

    Attributes:
        class_ids: one class; several for a multi-label task; empty where unlabelled.
        value: regression target, in the task's own scale.
        target_text: reference answer of a generative task.
    """

    class_ids: tuple[int, ...] = ()
    value: float | None = None
    target_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of a task.

    Attributes:
        id: unique in its source.
        task: name of the TaskSpec that it belongs to.
        split: `train`, `validation` or `test`.
        fields: the task's named texts, in the task's order.
        label: the right answer, or an empty Label.
        media: files sent with the prompt.
        prompt: overrides the task's prompt template; None uses the template.
        messages: a conversation given whole, `prompt` is its text then (`conversation_text`); empty where the
            prompt is one turn of the user.
        answer_to_score: a given answer whose tokens the teacher scores; never part of the prompt.
        answer_was_cut: whoever wrote that answer was stopped before its end.
    """

    id: str
    task: str
    split: str
    fields: dict[str, str]
    label: Label = field(default_factory=Label)
    media: tuple[Media, ...] = ()
    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    answer_to_score: str | None = None
    answer_was_cut: bool = False
