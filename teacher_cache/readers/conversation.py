"""Messages as services take them, with pictures among the parts, to turns of ours.

A turn's pictures stand before its text here, as most models want them. Text before and after a picture of the
same turn would say another thing then, so such a turn is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pydantic import JsonValue

from schemas.example import Media, Message, Role
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import Turn

_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image_url", "input_image", "image")
# What services call the instructions that stand above the system's, models have one word for.
_ROLES: dict[str, Role] = {"developer": "system"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What is asked, and the answer that stood behind it.

    Attributes:
        messages: at least one, the last of them the user's.
        media: of all turns, in order.
        reference: the text of a last turn of the assistant; never asked.
    """

    messages: tuple[Message, ...]
    media: tuple[Media, ...]
    reference: str | None


def read_conversation(
    turns: Sequence[Turn], media: MediaReader, attached: Sequence[Media] = ()
) -> Conversation:
    """Read the turns of a row.

    Args:
        turns: in order.
        media: reads what parts say of pictures.
        attached: pictures that the row names beside its messages; parts `{"type": "image"}` stand for them.

    Raises:
        ValueError: the turns are none that can be asked.
    """
    waiting = iter(attached)
    read = [_turn(turn, media, waiting) for turn in turns]
    if next(waiting, None) is not None:
        raise ValueError(
            'media has more files than the messages have parts {"type": "image"}; make them equal'
        )
    reference = None
    if read and read[-1][0].role == "assistant":
        (last, files) = read.pop()
        if files:
            raise ValueError("the last message of the assistant has a picture; a reference answer is a text")
        reference = last.content
    if not read or read[-1][0].role != "user":
        raise ValueError("no message of the user stands last, so there is nothing to ask; add one")
    messages = tuple(message for message, _ in read)
    if not (messages[-1].content.strip() or messages[-1].num_media):
        raise ValueError("the last message of the user is blank; write what to ask")
    return Conversation(
        messages=messages, media=tuple(item for _, files in read for item in files), reference=reference
    )


def _turn(turn: Turn, media: MediaReader, waiting: Iterator[Media]) -> tuple[Message, list[Media]]:
    role = _ROLES.get(turn.role) or turn.role
    assert role != "developer"
    if isinstance(turn.content, str):
        return Message(role, turn.content), []
    parts = [_part(part, media, waiting) for part in turn.content]
    if [kind for kind, _ in groupby(isinstance(part, str) for part in parts)].count(True) > 1:
        raise ValueError(
            "a picture stands between texts of one message; put pictures before or after the text"
        )
    files = [part for part in parts if isinstance(part, Media)]
    text = "\n".join(part for part in parts if isinstance(part, str))
    return Message(role, text, len(files)), files


def _part(part: dict[str, JsonValue], media: MediaReader, waiting: Iterator[Media]) -> str | Media:
    kind = part.get("type")
    if kind in _TEXT_PARTS:
        return _text(part)
    if kind not in _IMAGE_PARTS:
        raise ValueError(
            f"a part of type {str(kind)[:40]!r}; text, image_url and image are what can be asked"
        )
    rest = {key: value for key, value in part.items() if key != "type"}
    if kind == "image" and not rest:
        return _next(waiting)
    return _picture(kind, rest, media)


def _text(part: dict[str, JsonValue]) -> str:
    text = part.get("text")
    if set(part) != {"type", "text"} or not isinstance(text, str):
        raise ValueError(
            'a text part has other keys than {"type": "text", "text": "..."}; write it like that'
        )
    return text


def _next(waiting: Iterator[Media]) -> Media:
    try:
        return next(waiting)
    except StopIteration:
        raise ValueError('a part {"type": "image"} without a path, and media names no file for it') from None


def _picture(kind: object, rest: dict[str, JsonValue], media: MediaReader) -> Media:
    if isinstance(nested := rest.get("image_url"), dict):
        rest = {key: value for key, value in rest.items() if key != "image_url"} | nested
    if rest.pop("detail", "auto") != "auto":
        raise ValueError("a picture with a detail other than auto, which no run can ask for; leave it out")
    (key, value), *others = rest.items() or [("", None)]
    if others or key not in ("image_url", "url", "path", "image", "base64") or not isinstance(value, str):
        raise ValueError(
            f"a part of type {kind} without one path, URL or data URI as text; write "
            '{"type": "image_url", "image_url": {"url": "..."}}'
        )
    return media.item(f"data:;base64,{value}" if key == "base64" else value)
