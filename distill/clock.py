"""Where the time of a run went."""

import time
from collections.abc import Generator
from contextlib import contextmanager


class Clock:
    """Seconds by part of the run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    def go_on(self, seconds: dict[str, float]) -> None:
        """Add what an earlier session's `total` came to."""
        for name, value in seconds.items():
            if name == "total":
                self._started -= value
            else:
                self.seconds[name] = self.seconds.get(name, 0.0) + value

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        """Count the time inside towards a part."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def total(self) -> dict[str, float]:
        """All parts, and the whole."""
        return {**self.seconds, "total": time.perf_counter() - self._started}
