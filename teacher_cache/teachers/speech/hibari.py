"""The speech teacher: hibari speaks a text, Whisper's encoder hears it, its states are the representation.

`speech:hibari+whisper-tiny.en`: after the plus stands a folder below data/models, or a path, with a Whisper
model that CTranslate2 can read. Each row is answered alone, by one of several processes
(docs/decisions/0002-speech-rows-alone.md).
"""

import asyncio
import multiprocessing
import signal
import struct
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.files import sha256_of
from schemas.manifest import TeacherIdentity
from teacher_cache.teachers.speech.hibari_worker import (
    MAX_CHARACTERS,
    MAX_SECONDS,
    SEED,
    Voice,
    answer_texts,
    start_worker,
)
from teacher_cache.teachers.teacher import TeacherSettings

MODELS = Path("data/models")
# int8 is as good as float32 for a pooled state, takes half the time, and is the same whatever instructions
# a CPU has for choosing; "default" would depend on them.
COMPUTE_TYPE = "int8"
# All that a representation passes through.
_PACKAGES = ("hibari-tts", "onnxruntime", "ctranslate2", "transformers", "torch", "numpy", "scipy")


class SpeechTeacher:
    """Answers with the mean of Whisper's states over the spoken text, and a transcript where it is stored.

    Raises:
        ConfigError: the name is not `hibari+MODEL`.
        TeacherError: the model's folder is not there, or holds no Whisper model.
    """

    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        self._folder = _model_folder(settings.name)
        self._settings = settings
        self._width, num_mels = _encoder_shape(self._folder / "model.bin")
        self._voice = Voice(str(self._folder), COMPUTE_TYPE, num_mels, transcribe="text" in settings.store)
        self._pool: ProcessPoolExecutor | None = None
        self._processes: set[BaseProcess] = set()

    @cached_property
    def identity(self) -> TeacherIdentity:
        """Digests of both models and the versions of all that a representation passes through."""
        return TeacherIdentity(
            backend="speech",
            name=f"hibari+{self._folder.name}",
            revision=sha256_of(self._folder / "model.bin"),
            modality="audio",
            repr_dim=self._width,
            repr_dtype="float16",
            hashes={
                "hibari": sha256_of(_hibari_model()),
                "tokenizer": sha256_of(self._folder / "tokenizer.json"),
            },
            versions={name: version(name) for name in _PACKAGES},
            options={
                "compute_type": COMPUTE_TYPE,
                "seed": SEED,
                "max_characters": MAX_CHARACTERS,
                "max_seconds": MAX_SECONDS,
            },
        )

    async def __aenter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        workers = self._settings.num_workers
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker)
        loop = asyncio.get_running_loop()
        others = set(multiprocessing.active_children())
        with _interrupts_held_back():
            warm = [
                loop.run_in_executor(self._pool, answer_texts, self._voice, ["Ready."])
                for _ in range(workers)
            ]
        self._processes = set(multiprocessing.active_children()) - others
        try:
            await asyncio.gather(*warm)
        except Exception as error:  # noqa: BLE001 - four libraries load here, each with errors of its own
            await self.__aexit__(type(error), error, None)
            raise self._as_teacher_error(error) from None
        except asyncio.CancelledError as cancelled:
            await self.__aexit__(type(cancelled), cancelled, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes: at once where something went wrong, else when they have finished."""
        if kind is not None:
            for process in self._processes:
                process.terminate()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Answer the rows in one of the processes, one after another."""
        if not examples:
            return []
        assert self._pool is not None, "the teacher is entered before it is asked"
        texts = [example.prompt or "" for example in examples]
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, answer_texts, self._voice, texts
            )
        except BrokenProcessPool as error:
            raise self._as_teacher_error(error) from None

    def _as_teacher_error(self, error: Exception) -> TeacherError:
        if isinstance(error, BrokenProcessPool):
            return TeacherError(
                "a process of the speech teacher died, perhaps for want of memory; run the same command with "
                "fewer --workers, it goes on where it stopped"
            )
        return TeacherError(
            f"the speech teacher cannot be loaded from {self._folder}: {error}; run `make data`"
        )


def _model_folder(name: str) -> Path:
    voice, _, model = name.partition("+")
    if voice != "hibari" or not model:
        raise ConfigError(
            f"--model speech:{name}: the name is hibari+MODEL, such as speech:hibari+whisper-tiny.en, or "
            "SPEECHT5_DIR+WAV2VEC2_DIR"
        )
    folder = Path(model) if Path(model).is_dir() else MODELS / model
    for needed in ("model.bin", "tokenizer.json"):
        if not (folder / needed).is_file():
            raise TeacherError(
                f"{folder / needed} is not there; run `make data`, or name a folder that has it"
            )
    return folder.absolute()


def _hibari_model() -> Path:
    spec = find_spec("hibari")
    origin = spec.origin if spec else None
    assert origin is not None, "the backend's row checks that it is installed"
    return Path(origin).parent / "assets" / "hibari.onnx"


def _encoder_shape(path: Path) -> tuple[int, int]:
    """Width of the encoder's states and number of mel bands, from the headers in its weights.

    CTranslate2's file is: version, name and revision of the architecture, number of variables, and for each
    its name, dimensions, type, and bytes. The first convolution is (width, bands, 3).
    """
    with path.open("rb") as file:
        try:
            _skip_heading(file)
            for _ in range(_number(file, "I")):
                name = _name(file)
                dimensions = [_number(file, "I") for _ in range(_number(file, "B"))]
                if name == "encoder/conv1/weight":
                    return dimensions[0], dimensions[1]
                _number(file, "B")
                file.seek(_number(file, "I"), 1)
        except (struct.error, ValueError):
            pass
    raise TeacherError(
        f"{path} is no Whisper model of CTranslate2; run `make data`, or name a folder that has one"
    )


def _skip_heading(file: BinaryIO) -> None:
    _number(file, "I")
    _name(file)
    _number(file, "I")


def _number(file: BinaryIO, kind: str) -> int:
    return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]


def _name(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


@contextmanager
def _interrupts_held_back() -> Generator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all: the parent ends them.

    They inherit the mask; here a Ctrl-C that comes meanwhile is delivered when the mask is lifted.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
