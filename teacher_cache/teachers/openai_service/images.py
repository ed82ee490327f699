"""Pictures that a service makes: kept as files, and turned into representations here."""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.answer import Answer
from schemas.example import Example, Media
from teacher_cache.kept_pictures import keep_picture
from teacher_cache.media import INLINE_FOLDER, MediaError, MediaSource
from teacher_cache.teachers.local.image_encoder import ImageEncoder
from teacher_cache.teachers.openai_service.connection import Connection
from teacher_cache.teachers.openai_service.faults import Bill, RowError, one_line
from teacher_cache.teachers.openai_service.pace import estimate_tokens
from teacher_cache.teachers.openai_service.prompts import Prompts
from teacher_cache.teachers.openai_service.rows import rows_of

if TYPE_CHECKING:
    from PIL.Image import Image

_PATH = "/images/generations"
_MOST_BYTES = 64 << 20


class ImageAnswers:
    """Asks a service for pictures.

    Args:
        fixed: fields of every request.
        encoder: of pictures.
        media_folder: where pictures are kept; None keeps none.
        connection: to the service.
    """

    def __init__(
        self, fixed: dict[str, Any], encoder: ImageEncoder, media_folder: Path | None, connection: Connection
    ) -> None:
        self._fixed = fixed | {"n": 1, "response_format": "b64_json"}
        self._encoder, self._folder, self._connection = encoder, media_folder, connection

    async def check(self) -> None:
        """Load the encoder, so that no picture is paid for that it cannot read.

        Raises:
            TeacherError: it cannot be loaded.
        """
        await asyncio.to_thread(self._encoder.load)

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """One picture a row."""
        return await rows_of(examples, self._answer)

    async def _answer(self, example: Example, bill: Bill) -> Answer:
        body = self._fixed | {"prompt": Prompts().text(example)}
        tokens = estimate_tokens(len(example.prompt or ""), 0, 0)
        told = await self._connection.ask(_PATH, body, _first, bill, tokens)
        if "b64_json" in told:
            data = base64.b64decode(told["b64_json"])
        else:
            data = await self._connection.fetch(told["url"], _MOST_BYTES)
        repr_D = await asyncio.to_thread(self._keep, example.id, data)
        return Answer(repr=repr_D, usage=bill.usage)

    def _keep(self, example_id: str, data: bytes) -> Any:
        image = _opened(data)
        with np.errstate(over="ignore"):
            repr_D = self._encoder.encode([image])[0].astype(np.float16)
        if not np.isfinite(repr_D).all():
            raise RowError("the picture's representation is not all finite numbers of 16 bits")
        if self._folder is not None:
            keep_picture(self._folder, example_id, image)
        return repr_D


def _first(body: dict[str, Any]) -> dict[str, str]:
    told = body["data"][0]
    if text := told.get("b64_json"):
        base64.b64decode(text, validate=True)  # raises ValueError, and the picture is asked for again
        return {"b64_json": text}
    if not isinstance(told["url"], str):
        raise TypeError(f"url: {one_line(told['url'])}")
    return {"url": told["url"]}


def _opened(data: bytes) -> "Image":
    """Look at a picture of a service as carefully as at one of an example."""
    digest = hashlib.sha256(data).hexdigest()
    picture = Media(f"{INLINE_FOLDER}/{digest}", digest)
    try:
        return MediaSource(inline={digest: data}).load_image(picture)
    except MediaError as error:
        what = str(error).removeprefix(picture.path).strip()
        raise RowError(f"the answer's picture {what}") from None
