"""What every teacher is: someone who answers examples in order, and never raises because of one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from schemas.answer import Answer
from schemas.example import Example
from schemas.manifest import TeacherIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSettings:
    """What a backend needs to know to make a teacher.

    Attributes:
        name: what stands after the colon of `--model`.
        store: signals to give.
        num_workers: processes that may answer at once.
    """

    name: str
    store: tuple[str, ...]
    num_workers: int = 1


class Teacher(Protocol):
    """A frozen model, or a service, that answers examples.

    Making one is cheap and tells who it is. Entering it (`async with`) loads its models or opens its
    connections; leaving it ends them, its processes too, whatever happened inside.
    """

    @property
    def identity(self) -> TeacherIdentity:
        """Who answers, known before anything is loaded."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Answer examples whose prompts are resolved (`example.prompt` is what to ask).

        An answer depends on its example alone, never on its neighbours or on the order of calls; several
        calls may be awaited at once.

        Returns:
            One answer an example, in the same order; a row that cannot be answered is an `Answer` with an
            error.

        Raises:
            TeacherError: no row can be answered any more (a dead worker, a refused key).
        """
        ...
