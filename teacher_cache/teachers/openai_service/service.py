"""`openai:MODEL`, any service that speaks OpenAI's HTTP interface: OpenAI, vLLM and many more.

What is asked for lies in `texts`, `scoring`, `embeddings` and `images`; how, and
what happens when it goes wrong, in `connection`.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.manifest import Plain, TeacherIdentity
from teacher_cache.teachers.local.image_encoder import ImageEncoder
from teacher_cache.teachers.openai_service.address import Address
from teacher_cache.teachers.openai_service.connection import Connection
from teacher_cache.teachers.openai_service.embeddings import EmbeddingAnswers
from teacher_cache.teachers.openai_service.forms import ChatForm, CompletionsForm
from teacher_cache.teachers.openai_service.images import ImageAnswers
from teacher_cache.teachers.openai_service.options import Endpoint, most_bytes_of, read_options
from teacher_cache.teachers.openai_service.rows import Answers, without_key
from teacher_cache.teachers.openai_service.scoring import ScoredAnswers
from teacher_cache.teachers.openai_service.texts import TextAnswers
from teacher_cache.teachers.openai_service.vocabulary import Vocabulary
from teacher_cache.teachers.teacher import TeacherSettings

# Its list of models says what may be deployed; the names of deployments are the user's own.
_LISTS_OTHER_NAMES = ".azure.com"
_SHOWN_MODELS = 10


class OpenAITeacher:
    """Answers with what a service writes, tells, embeds or draws.

    Raises:
        ConfigError: an option or a setting that no service, or not this one, can have.
    """

    def __init__(self, settings: TeacherSettings) -> None:
        if not settings.name:
            raise ConfigError("--model openai: no model is named; give --model openai:MODEL")
        self._settings = settings
        self._address = Address.parse(settings.service.base_url)
        self._endpoint: Endpoint
        self._endpoint, self._options = read_options(settings, self._address)
        self._vocabulary = Vocabulary.read(self._options)
        folder = self._options.image_encoder
        self._encoder = None if folder is None else ImageEncoder(folder)
        self._connection: Connection | None = None
        self._answers: Answers | None = None

    @property
    def num_retries(self) -> int:
        """Requests that were sent again."""
        return self._connection.num_retries if self._connection else 0

    @cached_property
    def identity(self) -> TeacherIdentity:
        """What of service, model and options changes answers; never where on a machine, nor the key."""
        encoder, vocabulary = self._encoder, self._vocabulary
        hashes = {} if encoder is None else encoder.hashes
        if vocabulary is not None and vocabulary.digest:
            hashes = hashes | {"tokenizer": vocabulary.digest}
        return TeacherIdentity(
            backend="openai",
            name=self._settings.name,
            revision="as served",
            modality="image" if self._endpoint == "images" else "text",
            repr_dim=encoder.width if encoder else self._options.dimensions,
            repr_dtype="float16" if encoder else "float32",
            vocab_size=vocabulary.size if vocabulary else None,
            hashes=hashes,
            versions=encoder.versions if encoder else {},
            options=self._identity_options(),
        )

    def _identity_options(self) -> dict[str, Plain]:
        options = self._options
        extra = (
            json.dumps(options.extra_body, sort_keys=True, ensure_ascii=False) if options.extra_body else None
        )
        found: dict[str, Plain] = {
            "service": self._address.name,
            "endpoint": self._endpoint,
            "image_size": options.image_size,
            "reasoning_effort": options.reasoning_effort,
            "extra_body": extra,
        }
        return {name: value for name, value in found.items() if value is not None}

    async def __aenter__(self) -> Self:
        settings = self._settings
        most_bytes = most_bytes_of(settings, self._vocabulary.size if self._vocabulary else 0)
        self._connection = Connection(self._address, settings.service, settings.concurrency, most_bytes)
        try:
            await self._meet(self._connection)
            self._answers = self._make_answers(self._connection)
            await self._answers.check()
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections; how often was retried stays to be read."""
        self._answers = None
        if self._connection is not None:
            await self._connection.close()

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Ask the service about each row."""
        if not examples:
            return []
        assert self._answers is not None, "the teacher is entered before it is asked"
        assert self._connection is not None, "it has answers from there"
        key = self._connection.key
        return [without_key(answer, key) for answer in await self._answers.answer(examples)]

    async def _meet(self, connection: Connection) -> None:
        """Find out who serves, and whether the model is there; some services have no list of models."""
        listed = await connection.find("/models")
        if listed is None:
            told = await connection.find(self._address.at("/version"))
            connection.dialect.is_vllm = isinstance(told, dict) and list(told) == ["version"]
            return
        models = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
            raise TeacherError(
                f"{self._address.base_url}/models gives no list of models; --base-url mostly ends in /v1"
            )
        connection.dialect.is_vllm = any(model.get("owned_by") == "vllm" for model in models)
        names = [str(model.get("id")) for model in models]
        name = self._settings.name
        if name in names or self._address.host.endswith(_LISTS_OTHER_NAMES):
            return
        if await connection.find(f"/models/{quote(name, safe='')}") is None:
            raise TeacherError(
                f"--model openai:{name}: {self._address.host} has no such model; it has {_shown(names)}"
            )

    def _make_answers(self, connection: Connection) -> Answers:
        settings, options = self._settings, self._options
        fixed: dict[str, Any] = {"model": settings.name, **options.extra_body}
        if self._endpoint == "embeddings":
            assert options.dimensions is not None, "the options were checked"
            return EmbeddingAnswers(fixed, settings, options.dimensions, connection)
        if self._encoder is not None:
            size = {"size": options.image_size} if options.image_size else {}
            return ImageAnswers(fixed | size, self._encoder, settings.media_folder, connection)
        vocabulary = self._vocabulary if "logprobs" in settings.store else None
        if settings.entries.given_answers and vocabulary is not None:
            return ScoredAnswers(self._endpoint, fixed, settings, vocabulary, connection)
        if options.reasoning_effort is not None:
            fixed["reasoning_effort"] = options.reasoning_effort
        form = ChatForm() if self._endpoint == "chat" else CompletionsForm()
        return TextAnswers(form, fixed, settings, vocabulary, connection)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_MODELS} more" if len(names) > _SHOWN_MODELS else ""
    return ", ".join(names[:_SHOWN_MODELS]) + more if names else "none"
