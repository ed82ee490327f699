"""What every teacher is: someone who answers examples in order, and never raises because of one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.answer import Answer
from schemas.errors import ConfigError
from schemas.example import Example
from schemas.manifest import TeacherIdentity
from schemas.manifest_file import first_fault

if TYPE_CHECKING:
    from teacher_cache.media import MediaSource

WHOLE_VOCABULARY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How a teacher that writes is asked; each of it changes answers, so the manifest keeps it.

    Attributes:
        system: what stands before the conversation; None is nothing.
        max_tokens: of one text.
        temperature: 0 takes the most probable token.
        num_samples: texts a row.
        seed: of sampling; a row's own seed follows from it and the row's id.
    """

    system: str | None = None
    max_tokens: int = 256
    temperature: float = 0.0
    num_samples: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Which log-probabilities are kept of each scored token.

    Attributes:
        codec: row of `schemas.codec.CODECS`.
        top_k: most entries; -1 is the whole vocabulary.
        top_p: mass after which no more are kept.
        min_k: fewest entries.
        num_draws: draws of the codec `sampled`.
        given_answers: the scored tokens are those of `example.answer_to_score`, not generated ones.
    """

    codec: str = "packed"
    top_k: int = 50
    top_p: float = 1.0
    min_k: int = 1
    num_draws: int = 32
    given_answers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How a service is reached; none of it changes answers.

    Attributes:
        base_url: where it is; None is the library's own default.
        api_key_env: name of the environment variable that holds the key.
        max_retries: of one request.
        timeout: seconds without a byte after which a request is given up.
        max_requests_per_minute: None is no limit.
        max_tokens_per_minute: prompt and completion; None is no limit.
    """

    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    max_retries: int = 5
    timeout: float = 120.0
    max_requests_per_minute: int | None = None
    max_tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSettings:
    """What a backend needs to know to make a teacher; each takes what concerns it.

    Attributes:
        name: what stands after the colon of `--model`.
        store: signals to give.
        num_workers: processes that may answer at once.
        concurrency: calls of `answer` that are awaited at once.
        options: `--option` as given; see `parse_options`.
        media: where the pictures and sounds of the examples are; None where there are none.
        media_folder: where those that the teacher makes are kept; None keeps none.
        keep_media: keep those too that could be made again; those of a service are kept in any case.
    """

    name: str
    store: tuple[str, ...]
    num_workers: int = 1
    concurrency: int = 1
    generation: Generation = field(default_factory=Generation)
    entries: Entries = field(default_factory=Entries)
    service: Service = field(default_factory=Service)
    options: Mapping[str, str] = field(default_factory=dict)
    media: "MediaSource | None" = None
    media_folder: Path | None = None
    keep_media: bool = False


Options = TypeVar("Options", bound=BaseModel)


def parse_options(kind: type[Options], backend: str, options: Mapping[str, str]) -> Options:
    """Read `--option KEY=VALUE` as a backend's own settings.

    Raises:
        ConfigError: a key is none of the backend's, or a value does not fit.
    """
    try:
        return kind.model_validate({key.replace("-", "_"): value for key, value in options.items()})
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["type"] == "extra_forbidden":
            known = ", ".join(name.replace("_", "-") for name in kind.model_fields) or "none"
            key = str(fault["loc"][0]).replace("_", "-")
            raise ConfigError(
                f"--option {key}: the backend {backend} has no such option; it has: {known}"
            ) from None
        raise ConfigError(f"--option {first_fault(error)}; mend the value") from None


class Teacher(Protocol):
    """A frozen model, or a service, that answers examples.

    Making one is cheap and tells who it is. Entering it (`async with`) loads its models or opens its
    connections; leaving it ends them, its processes too, whatever happened inside.
    """

    @property
    def identity(self) -> TeacherIdentity:
        """Who answers, known before anything is loaded."""
        ...

    @property
    def num_retries(self) -> int:
        """Requests that were sent again so far."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Answer examples whose prompts are resolved (`example.prompt` is what to ask).

        An answer depends on its example alone, never on its neighbours or on the order of calls (a model
        that computes rows together may differ by the error of its arithmetic); several calls may be awaited
        at once.

        Returns:
            One answer an example, in the same order; a row that cannot be answered is an `Answer` with an
            error.

        Raises:
            TeacherError: no row can be answered any more (a dead worker, a refused key).
        """
        ...
