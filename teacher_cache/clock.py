"""Where the seconds of a run went. They stay out of the shards, which must not depend on a clock."""

import json
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from teacher_cache.teachers import Teacher

TIMINGS_NAME = "timings.jsonl"


class Clock:
    """Seconds of one session, in all and with the teacher.

    Args:
        before: sums of earlier sessions, as the manifest has them.
    """

    def __init__(self, before: dict[str, float] | None = None) -> None:
        self._before = before or {}
        self._started = time.monotonic()
        self._teacher = 0.0
        self._entered: Teacher | None = None

    @contextmanager
    def teacher(self) -> Generator[None]:
        """Count what happens inside as waiting for the teacher."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._teacher += time.monotonic() - started

    @asynccontextmanager
    async def entered(self, teacher: Teacher) -> AsyncGenerator[None]:
        """Enter a teacher; loading its models and ending its processes count as waiting for it."""
        self._entered = teacher
        with self.teacher():
            await teacher.__aenter__()
        try:
            yield
        finally:
            with self.teacher():
                await teacher.__aexit__(*sys.exc_info())

    @property
    def session(self) -> dict[str, float]:
        """Seconds of this session so far, and requests that were sent again."""
        seconds = {"seconds": time.monotonic() - self._started, "teacher_seconds": self._teacher}
        retries = self._entered.num_retries if self._entered else 0
        return {name: round(value, 3) for name, value in seconds.items()} | {"retries": retries}

    @property
    def sums(self) -> dict[str, float]:
        """Seconds of all sessions that lived to say so."""
        return {name: round(self._before.get(name, 0.0) + value, 3) for name, value in self.session.items()}

    def save(self, journal_folder: Path, rows: int) -> None:
        """Add one line for this session."""
        with (journal_folder / TIMINGS_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"rows_answered": rows, **self.session}) + "\n")
