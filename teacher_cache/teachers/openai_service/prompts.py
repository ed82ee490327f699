"""From an example to the conversation that a service is sent."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.example import Example, Media, Message
from teacher_cache.media import MediaSource
from teacher_cache.teachers.openai_service.faults import RowError


@dataclass(frozen=True, slots=True)
class Prompts:
    """How examples are put to a service.

    Attributes:
        system: what stands before a conversation that does not begin with a system's turn of its own.
        media: where pictures come from.
    """

    system: str | None = None
    media: MediaSource | None = None

    async def messages(self, example: Example) -> list[dict[str, Any]]:
        """The turns of a conversation, pictures as data URIs before their turn's text.

        Raises:
            MediaError: a picture cannot be sent.
            RowError: the source has no folder for them.
        """
        turns = example.messages or (Message("user", example.prompt or "", len(example.media)),)
        if self.system is not None and turns[0].role != "system":
            turns = (Message("system", self.system), *turns)
        # Opening pictures takes milliseconds, which would keep all other requests waiting.
        uris = iter(await asyncio.to_thread(self._uris, example.media) if example.media else ())
        return [
            {"role": turn.role, "content": _content(turn, [next(uris) for _ in range(turn.num_media)])}
            for turn in turns
        ]

    def text(self, example: Example) -> str:
        """A prompt that is a text and nothing else.

        Raises:
            RowError: it is a conversation, or has pictures.
        """
        if example.messages:
            raise RowError("this endpoint takes no conversation; give --option endpoint=chat")
        if example.media:
            raise RowError("this endpoint takes no pictures; give --option endpoint=chat")
        return example.prompt or ""

    def _uris(self, media: Sequence[Media]) -> list[str]:
        if self.media is None:
            raise RowError("the source has no folder for media")
        return [self.media.data_uri(item) for item in media]


def _content(turn: Message, uris: Sequence[str]) -> str | list[dict[str, Any]]:
    if not uris:
        return turn.content
    images = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
    return [*images, {"type": "text", "text": turn.content}]
