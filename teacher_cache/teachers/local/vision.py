"""`transformers:` with an encoder of pictures, such as a ResNet or CLIP: the picture of a row, as one vector.

The text of a row is not read: this is the teacher of tasks whose other modality is there already, posters of
MM-IMDb for one.
"""

from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Literal, Self

import numpy as np
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.manifest import TeacherIdentity
from teacher_cache.media import MediaError
from teacher_cache.teachers.local.folder import find_model
from teacher_cache.teachers.local.image_encoder import ImageEncoder
from teacher_cache.teachers.local.loading import is_out_of_memory
from teacher_cache.teachers.local.model_thread import ModelThread
from teacher_cache.teachers.local.options import LocalOptions, find_device
from teacher_cache.teachers.teacher import TeacherSettings, parse_options

NO_PICTURE = "the row has no picture"


class VisionOptions(BaseModel):
    """`--option KEY=VALUE` of this teacher.

    Attributes:
        device: `auto` is CUDA where there is one.
        revision: branch, tag or commit of a model of the hub.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    revision: str | None = None


class VisionTeacher:
    """Answers with what a vision model calls pooled of a row's first picture.

    Raises:
        ConfigError: a signal or an option that this model cannot have.
        TeacherError: the folder is missing or holds no such model.
    """

    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        options = parse_options(VisionOptions, "transformers", settings.options)
        self._folder = find_model(settings.name, options.revision)
        if wrong := [signal for signal in settings.store if signal != "repr"]:
            raise ConfigError(
                f"--store {','.join(settings.store)}: {self._folder.name} sees pictures and gives no "
                f"{wrong[0]}; give --store repr, or a model that writes"
            )
        self._folder.download_weights()
        device = find_device(LocalOptions(device=options.device))
        self._encoder = ImageEncoder(self._folder.path, device, asked_as="--model transformers")
        _ = self._encoder.width  # refuses a folder without it
        self._media = settings.media
        self._thread = ModelThread()

    @cached_property
    def identity(self) -> TeacherIdentity:
        """Digests of weights and processor, and versions of all that a picture passes through."""
        return TeacherIdentity(
            backend="transformers",
            name=self._folder.name,
            revision=self._folder.revision(),
            modality="image",
            repr_dim=self._encoder.width,
            repr_dtype="float16",
            hashes=self._folder.hashes(chat=False, code=False),
            versions=self._encoder.versions,
            options={"dtype": "float32"},
        )

    async def __aenter__(self) -> Self:
        await self._thread.enter("vision", self._encoder.load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the batch that is being seen, and free the model."""
        self._encoder.unload()
        await self._thread.stop()

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """See the rows' pictures; a row without one is an error."""
        if not examples:
            return []
        try:
            return await self._thread.run(lambda: self._answers(examples))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise TeacherError(
                f"{self._folder.name}: no memory for a batch of {len(examples)} pictures; run the same "
                f"command with a lower --batch-size, such as {max(1, len(examples) // 2)}"
            ) from None

    def _answers(self, examples: Sequence[Example]) -> list[Answer]:
        seen = [self._seen(example) for example in examples]
        images = [one for one in seen if isinstance(one, Image)]
        vectors = iter(self._encoder.encode(images) if images else ())
        return [_stored(next(vectors)) if isinstance(one, Image) else one for one in seen]

    def _seen(self, example: Example) -> Image | Answer:
        if not example.media or self._media is None:
            return Answer(error=NO_PICTURE)
        try:
            return self._media.load_image(example.media[0])
        except MediaError as error:
            return Answer(error=str(error))


def _stored(values_D: np.ndarray) -> Answer:
    with np.errstate(over="ignore"):
        stored_D = values_D.astype(np.float16)
    if np.isfinite(stored_D).all():
        return Answer(repr=stored_D)
    return Answer(error="the picture's representation is not all finite numbers of 16 bits")
