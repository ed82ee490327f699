"""`transformers:`, a model on this machine: a causal language model, one that sees too, or an encoder.

`transformers:NAME` names a folder, one below data/models, or `owner/name` of the hub, with safetensors.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.manifest import TeacherIdentity
from teacher_cache.teachers.local.answers import LocalAnswers, Reading
from teacher_cache.teachers.local.architecture import Architecture, Kind, read_architecture
from teacher_cache.teachers.local.folder import ModelFolder, find_model
from teacher_cache.teachers.local.loading import check_generation, is_out_of_memory, load_model
from teacher_cache.teachers.local.model_thread import ModelThread
from teacher_cache.teachers.local.options import Device, LocalOptions, find_device, find_dtype
from teacher_cache.teachers.scored_tokens import check_entries
from teacher_cache.teachers.teacher import TeacherSettings, parse_options


class LocalModelTeacher:
    """Answers with texts, their log-probabilities, or those of given answers, and pooled hidden states.

    One thread asks the model, so calls that are awaited at once wait for each other. Equal batches give
    equal bytes on a CPU with the same number of threads; the same row in another batch gives the same up to
    the error of the arithmetic.

    Raises:
        ConfigError: an option, a signal or a setting that this model cannot have.
        TeacherError: the folder is missing or holds no model that can be asked.
    """

    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        options = parse_options(LocalOptions, "transformers", settings.options)
        self._settings, self._options = settings, options
        self._device: Device = find_device(options)
        self._folder = find_model(settings.name, options.revision)
        self._folder.check()
        self._shape = read_architecture(self._folder, trust_remote_code=options.trust_remote_code)
        self._shape.check(self._folder.name, settings.store, options.layer)
        self._reading = decide_reading(options, self._shape, self._folder)
        if "text" in settings.store:
            check_generation(settings.generation.num_samples, settings.generation.temperature)
        if "logprobs" in settings.store:
            assert self._shape.vocab_size is not None, "an encoder was refused"
            check_entries(settings.entries, self._shape.vocab_size)
        self._thread = ModelThread()
        self._answers: LocalAnswers | None = None

    @cached_property
    def identity(self) -> TeacherIdentity:
        """Digests of all files that answers pass through, and what of the options changes answers."""
        options, shape = self._options, self._shape
        reading = self._reading
        code = {"trust_remote_code": True} if options.trust_remote_code else {}
        return TeacherIdentity(
            backend="transformers",
            name=self._folder.name,
            revision=self._folder.revision(),
            modality="image" if shape.kind is Kind.VISION else "text",
            repr_dim=shape.width,
            repr_dtype=reading.repr_dtype,
            vocab_size=shape.vocab_size,
            hashes=self._folder.hashes(chat=reading.chat, code=options.trust_remote_code),
            versions=versions_of(shape.kind),
            options={
                "dtype": find_dtype(options, self._device),
                "pooling": reading.pooling,
                "layer": reading.layer,
                "chat": reading.chat,
                **code,
            },
        )

    async def __aenter__(self) -> Self:
        self._answers = await self._thread.enter("local-model", self._load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop writing after the next token, and free the model."""
        self._answers = None
        await self._thread.stop()

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Answer the rows in one batch."""
        if not examples:
            return []
        assert self._answers is not None, "the teacher is entered before it is asked"
        answers = self._answers
        try:
            return await self._thread.run(lambda: answers.answer(examples))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise TeacherError(
                f"{self._folder.name}: no memory on {self._device} for a batch of {len(examples)} rows; "
                f"run the same command with a lower --batch-size, such as {max(1, len(examples) // 2)}"
            ) from None

    def _load(self) -> LocalAnswers:
        self._folder.download_weights()
        loaded = load_model(
            self._folder,
            self._shape.kind,
            self._device,
            find_dtype(self._options, self._device),
            trust_remote_code=self._options.trust_remote_code,
        )
        return LocalAnswers(loaded, self._shape, self._reading, self._settings, self._thread.left)


def decide_reading(options: LocalOptions, shape: Architecture, folder: ModelFolder) -> Reading:
    """How a model's prompts are written and read, where the options leave it open.

    Raises:
        ConfigError: a chat template is wanted and there is none.
    """
    has_template = folder.chat_template is not None
    if options.chat == "true" and not has_template:
        raise ConfigError(f"--option chat=true: {folder.name} has no chat template; leave the option out")
    last_layer = options.layer in (-1, shape.num_layers)
    return Reading(
        chat=options.chat == "true" or (options.chat == "auto" and has_template and shape.writes),
        layer=options.layer,
        pooling=options.pooling or ("last" if shape.left_to_right else "mean"),
        # The last layer is normalised; before it single features of large models pass what float16 can hold.
        repr_dtype="float16" if last_layer else "float32",
    )


def versions_of(kind: Kind) -> dict[str, str]:
    """Versions of the packages that every model of a kind passes through."""
    names = ["torch", "transformers", "tokenizers"]
    if kind is Kind.VISION:
        names += ["pillow", *(["torchvision"] if find_spec("torchvision") else [])]
    return {name: version(name) for name in names}
