"""The teachers, one row a backend. A new teacher is one file here and one row below."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from schemas.errors import ConfigError, TeacherError
from teacher_cache.teachers.teacher import Teacher, TeacherSettings

__all__ = ["BACKENDS", "Backend", "Teacher", "TeacherSettings", "find_backend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A way to reach teachers.

    Attributes:
        make: opens nothing yet; gives a teacher that knows its identity.
        signals: what it can store.
        default_signals: what it stores unless asked otherwise.
        default_batch_size: rows asked in one call.
        default_concurrency: calls awaited at once; None is two for each process that answers.
        in_line: whether calls are answered one after another, so that more at once do no more work.
        generates: whether it writes texts, so that it can be told how.
        whole_distribution: whether it sees every token's whole distribution, which the codec `sampled` needs.
        sorts_by_length: whether rows of about one length are asked together.
        makes_pictures: whether it can make pictures that are worth keeping.
        extra: what `pip install "armada-distill[...]"` needs for it.
        modules: importable once that extra is installed.
    """

    make: Callable[[TeacherSettings], Teacher]
    signals: tuple[str, ...]
    default_signals: tuple[str, ...]
    default_batch_size: int = 1
    default_concurrency: int | None = None
    in_line: bool = False
    generates: bool = False
    whole_distribution: bool = False
    sorts_by_length: bool = False
    makes_pictures: bool = False
    extra: str | None = None
    modules: tuple[str, ...] = ()


def _lazily(path: str) -> Callable[[TeacherSettings], Teacher]:
    """A class that is imported when the first teacher is made: its libraries take seconds."""

    def make(settings: TeacherSettings) -> Teacher:
        module, _, name = path.partition(":")
        return getattr(import_module(module), name)(settings)

    return make


BACKENDS: dict[str, Backend] = {
    "speech": Backend(
        make=_lazily("teacher_cache.teachers.speech.choice:make_speech_teacher"),
        signals=("text", "repr"),
        default_signals=("repr",),
        default_batch_size=4,
        extra="speech",
        modules=("hibari", "ctranslate2"),
    ),
    "transformers": Backend(
        make=_lazily("teacher_cache.teachers.local.choice:make_local_teacher"),
        signals=("text", "logprobs", "repr"),
        default_signals=("text",),
        default_batch_size=16,
        default_concurrency=2,
        in_line=True,
        generates=True,
        whole_distribution=True,
        sorts_by_length=True,
    ),
    "vllm": Backend(
        make=_lazily("teacher_cache.teachers.vllm_engine.model:VllmTeacher"),
        signals=("text", "logprobs", "repr"),
        default_signals=("text",),
        default_batch_size=256,
        default_concurrency=2,
        in_line=True,
        generates=True,
        whole_distribution=True,
        sorts_by_length=True,
        extra="vllm",
        modules=("vllm",),
    ),
    "openai": Backend(
        make=_lazily("teacher_cache.teachers.openai_service.service:OpenAITeacher"),
        signals=("text", "logprobs", "repr"),
        default_signals=("text",),
        default_concurrency=32,
        generates=True,
        makes_pictures=True,
        extra="openai",
        modules=("openai", "aiolimiter"),
    ),
    "diffusers": Backend(
        make=_lazily("teacher_cache.teachers.diffusion.model:DiffusionTeacher"),
        signals=("repr",),
        default_signals=("repr",),
        default_batch_size=8,
        default_concurrency=2,
        in_line=True,
        sorts_by_length=True,
        makes_pictures=True,
        extra="diffusion",
        modules=("diffusers",),
    ),
    "none": Backend(
        make=_lazily("teacher_cache.teachers.none:NoTeacher"),
        signals=(),
        default_signals=(),
    ),
}


def find_backend(model: str) -> tuple[Backend, str, str]:
    """Take `BACKEND:NAME` apart; a bare name is a local model's.

    Returns:
        The backend, its name, and the model's name.

    Raises:
        ConfigError: there is no such backend.
        TeacherError: its packages are not installed.
    """
    name, colon, rest = model.partition(":")
    if not colon and name not in BACKENDS:
        name, rest = _local_backend(), name
    backend = BACKENDS.get(name)
    if backend is None:
        raise ConfigError(
            f"--model {model}: no backend {name}; give BACKEND:NAME with one of {', '.join(BACKENDS)}"
        )
    if missing := [module for module in backend.modules if find_spec(module) is None]:
        raise TeacherError(
            f"--model {model}: the package {missing[0]} is not installed; "
            f'run: pip install "armada-distill[{backend.extra}]"'
        )
    return backend, name, rest


def _local_backend() -> str:
    return "vllm" if "vllm" in BACKENDS and find_spec("vllm") else "transformers"
