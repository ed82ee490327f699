"""No teacher: examples are sealed without asking anyone, for students that learn from labels alone."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from schemas.answer import Answer
from schemas.errors import ConfigError
from schemas.example import Example
from schemas.manifest import TeacherIdentity
from teacher_cache.teachers.teacher import TeacherSettings


class NoTeacher:
    """Says nothing, to everyone."""

    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        if settings.name:
            raise ConfigError(
                f"--model none:{settings.name}: the backend none has no models; give --model none"
            )
        self.identity = TeacherIdentity(backend="none", name="none", revision="none", modality="none")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was opened."""

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """An empty answer a row."""
        return [Answer() for _ in examples]
