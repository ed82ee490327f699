"""The paper's text-to-audio teacher: SpeechT5 speaks a text, Wav2Vec2 hears it, its states are pooled.

`speech:SPEECHT5_DIR+WAV2VEC2_DIR` names two folders, or two below data/models. Each row is spoken and heard
alone, so what it gets depends on its text and the models, and on nothing beside it.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.files import sha256_of
from schemas.manifest import TeacherIdentity
from teacher_cache.teachers.local.folder import MODELS, ModelFolder
from teacher_cache.teachers.local.loading import is_out_of_memory
from teacher_cache.teachers.local.model_thread import ModelThread
from teacher_cache.teachers.local.options import Device, LocalOptions, find_device
from teacher_cache.teachers.speech.pair_models import MAX_SECONDS, PairModels, load_pair, read_speaker
from teacher_cache.teachers.teacher import TeacherSettings, parse_options

_PACKAGES = ("transformers", "torch", "sentencepiece", "numpy", "scipy")


class SpeechPairOptions(BaseModel):
    """`--option KEY=VALUE` of this teacher.

    Attributes:
        vocoder: folder of the HiFi-GAN that makes sound of SpeechT5's spectrograms; None is the folder
            `vocoder` inside SpeechT5's own.
        speaker: .npy file with a speaker's embedding; None is a vector of zeros.
        seed: of the dropout that SpeechT5 applies when it speaks too.
        device: `auto` is CUDA where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocoder: Path | None = None
    speaker: Path | None = None
    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class SpeechPairTeacher:
    """Answers with the mean of Wav2Vec2's last hidden states over the spoken text.

    Raises:
        ConfigError: an option or a signal that this pair cannot have.
        TeacherError: a folder is missing, or holds no such model.
    """

    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        options = parse_options(SpeechPairOptions, "speech", settings.options)
        if "text" in settings.store:
            raise ConfigError(
                "--store text: this pair makes no transcripts; give --store repr, or "
                "--model speech:hibari+whisper-tiny.en"
            )
        self._options = options
        self._device: Device = find_device(LocalOptions(device=options.device))
        self._speaks, self._hears = split_name(settings.name)
        self._vocoder = _vocoder(options, self._speaks)
        _check(self._speaks, self._hears, self._vocoder)
        width = int(self._speaks.json("config.json").get("speaker_embedding_dim", 512))
        self._speaker = read_speaker(options.speaker, width)
        self._thread = ModelThread()
        self._models: PairModels | None = None

    @cached_property
    def identity(self) -> TeacherIdentity:
        """Digests of all three models and the speaker, and versions of all that sound passes through."""
        parts = {"speecht5": self._speaks, "wav2vec2": self._hears, "vocoder": self._vocoder}
        hashes = {
            f"{part}/{name}": digest
            for part, folder in parts.items()
            for name, digest in folder.hashes(chat=False, code=False).items()
        }
        weights = {"wav2vec2/weights": self._hears.revision(), "vocoder/weights": self._vocoder.revision()}
        speaker = {} if self._options.speaker is None else {"speaker": sha256_of(self._options.speaker)}
        return TeacherIdentity(
            backend="speech",
            name=f"{self._speaks.name}+{self._hears.name}",
            revision=self._speaks.revision(),
            modality="audio",
            repr_dim=self._hears.json("config.json")["hidden_size"],
            repr_dtype="float16",
            hashes=hashes | weights | speaker,
            versions={name: version(name) for name in _PACKAGES},
            options={"seed": self._options.seed, "max_seconds": MAX_SECONDS, "dtype": "float32"},
        )

    async def __aenter__(self) -> Self:
        self._models = await self._thread.enter("speech-pair", self._load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop after the row that is being spoken, and free the models."""
        self._models = None
        await self._thread.stop()

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Answer the rows one after another."""
        if not examples:
            return []
        assert self._models is not None, "the teacher is entered before it is asked"
        models = self._models
        try:
            return await self._thread.run(lambda: models.answer(examples, self._thread.left))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise TeacherError(
                f"{self.identity.name}: no memory on {self._device} for {MAX_SECONDS} seconds of sound; give "
                "smaller models, or --option device=cpu"
            ) from None

    def _load(self) -> PairModels:
        return load_pair(
            self._speaks,
            self._hears,
            self._vocoder,
            speaker=self._speaker,
            device=self._device,
            seed=self._options.seed,
        )


def split_name(name: str) -> tuple[ModelFolder, ModelFolder]:
    """Find both folders; a plus inside a path is no end of it.

    Raises:
        TeacherError: one is not there.
    """
    pieces = name.split("+")
    cuts = [("+".join(pieces[:at]), "+".join(pieces[at:])) for at in range(1, len(pieces))]
    for cut in cuts:
        one, other = (_folder(part) for part in cut)
        if one is not None and other is not None:
            return one, other
    missing = next((part for part in cuts[0] if _folder(part) is None), name) if cuts else name
    raise TeacherError(
        f"--model speech:{name}: no folder {missing or '(empty)'}; give SPEECHT5_DIR+WAV2VEC2_DIR, or "
        "hibari+whisper-tiny.en"
    )


def _folder(name: str) -> ModelFolder | None:
    found = next((path for path in (Path(name), MODELS / name) if name and path.is_dir()), None)
    return None if found is None else ModelFolder(found.absolute().name, found.absolute())


def _vocoder(options: SpeechPairOptions, speaks: ModelFolder) -> ModelFolder:
    path = options.vocoder or speaks.path / "vocoder"
    if not path.is_dir():
        raise TeacherError(
            f"{path}: no such folder; give --option vocoder=DIR with a HiFi-GAN of SpeechT5's mel bands"
        )
    return ModelFolder(path.absolute().name, path.absolute())


def _check(speaks: ModelFolder, hears: ModelFolder, vocoder: ModelFolder) -> None:
    speaks.check()
    for folder, kind in ((speaks, "speecht5"), (vocoder, "hifigan")):
        # What was published of the vocoder calls itself hifigan, what is saved today speecht5_hifigan.
        if not str(found := folder.json("config.json").get("model_type")).endswith(kind):
            raise TeacherError(f"{folder.path}: its model_type is {found}, wanted is {kind}; give another")
    heard = hears.json("config.json")
    if not heard.get("conv_stride") or not isinstance(heard.get("hidden_size"), int):
        raise TeacherError(
            f"{hears.path}: its config.json is of no encoder of sound such as Wav2Vec2 (model_type "
            f"{heard.get('model_type')}); give another folder"
        )
    if not hears.json("preprocessor_config.json"):
        raise TeacherError(f"{hears.path}: no preprocessor_config.json in it; give a whole model")
    hears.check_weights()
    vocoder.check_weights()
    if find_spec("sentencepiece") is None:
        raise TeacherError(
            'SpeechT5 wants the package sentencepiece; run: pip install "armada-distill[speech]"'
        )
