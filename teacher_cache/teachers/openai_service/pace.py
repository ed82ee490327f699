"""How fast a service is asked: requests and tokens a minute, pauses that it asks for, waits between tries."""

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from teacher_cache.teachers.teacher import Service

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
# A service that asks for more than this has a limit by the day; the run had better stop and go on tomorrow.
LONGEST_PAUSE = 3600.0
SHORTEST_PAUSE = 0.05
# Seconds that a pause must be long, or longer than the last, for someone who watches to be told of it.
_NOTICED = 10.0
# Share of a minute's allowance that may be used at once.
_BURST = 1 / 600
_CHARACTERS_PER_TOKEN = 4


def wait_before(attempt: int) -> float:
    """Seconds before the next try: doubled each time, and shifted by chance so that no herd comes back."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1)  # noqa: S311 - no secret


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer's headers ask to wait, given as milliseconds, seconds or a date."""
    written = headers.get("retry-after", "")
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return _bounded(float(milliseconds) / 1000)
        return _bounded(float(written))
    except ValueError:
        return _until(_date(written), _date(headers.get("date", "")))


def _until(until: datetime | None, now: datetime | None) -> float | None:
    """Seconds until a date, by the service's own clock: this machine's may be hours off, or jump.

    Where the service does not tell its time, a date that has passed here tells nothing.
    """
    if until is None:
        return None
    if now is not None:
        return _bounded((until - now).total_seconds())
    seconds = (until - datetime.now(UTC)).total_seconds()
    return _bounded(seconds) if seconds > 0 else None


def _date(written: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(written)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date without a zone is in GMT, as all dates of HTTP are.
    return date.replace(tzinfo=date.tzinfo or UTC)


def _bounded(seconds: float) -> float | None:
    # Also leaves out NaN.
    return min(max(seconds, SHORTEST_PAUSE), LONGEST_PAUSE) if seconds == seconds else None  # noqa: PLR0124


class Gate:
    """Shut for all requests while a service has asked to be left alone."""

    def __init__(self) -> None:
        self._opens_at = 0.0

    def pause(self, seconds: float) -> bool:
        """Keep it shut for so long, or as long as it is shut already; whether that is news to anyone."""
        opens_at = time.monotonic() + seconds
        is_news = seconds > _NOTICED and opens_at > self._opens_at + _NOTICED
        self._opens_at = max(self._opens_at, opens_at)
        return is_news

    async def wait(self) -> None:
        """Wait until it is open."""
        while (left := self._opens_at - time.monotonic()) > 0:  # noqa: ASYNC110 - it may shut again
            await asyncio.sleep(left + random.uniform(0, min(1, left / 4)))  # noqa: S311 - no secret


class Pace:
    """Requests and tokens a minute.

    Tokens are taken by estimate before a request and set right after it: what was taken too little or too
    much is added to what the next request takes.

    Args:
        service: with the two limits.
    """

    def __init__(self, service: Service) -> None:
        self._requests = _Allowance.of(service.max_requests_per_minute)
        self._tokens = _Allowance.of(service.max_tokens_per_minute)
        self._owed = 0

    async def take(self, tokens: int) -> None:
        """Wait until a request of about so many tokens may be sent."""
        if self._tokens is not None:
            wanted, self._owed = tokens + self._owed, 0
            self._owed = min(wanted, 0)
            await self._tokens.take(wanted)
        if self._requests is not None:
            await self._requests.take(1)

    def settle(self, estimated: int, used: int) -> None:
        """Say what a request really took; nothing is known where a service does not say."""
        if used:
            self._owed += used - estimated


class _Allowance:
    """So much a minute, evenly: a bucket that holds little leaks what is used."""

    def __init__(self, a_minute: int) -> None:
        from aiolimiter import AsyncLimiter

        self._at_once = max(1.0, a_minute * _BURST)
        self._limiter = AsyncLimiter(self._at_once, 60 * self._at_once / a_minute)
        # First come, first served: sharing every drop, all would be late.
        self._turn = asyncio.Lock()

    @classmethod
    def of(cls, a_minute: int | None) -> "_Allowance | None":
        return None if a_minute is None else cls(a_minute)

    async def take(self, amount: float) -> None:
        async with self._turn:
            while amount > 0:
                part = min(amount, self._at_once)
                await self._limiter.acquire(part)
                amount -= part


def estimate_tokens(num_characters: int, num_media: int, max_tokens: int) -> int:
    """Tokens of a request before it is sent, as services count them: the prompt, and room to answer."""
    return num_characters // _CHARACTERS_PER_TOKEN + 1 + 1000 * num_media + max_tokens
