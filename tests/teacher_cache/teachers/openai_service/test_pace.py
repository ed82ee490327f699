"""How fast a service is asked: limits, pauses that it asks for, waits between tries."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from teacher_cache.teachers.openai_service.pace import Gate, Pace, estimate_tokens, retry_after, wait_before
from teacher_cache.teachers.teacher import Service


def test_requests_keep_to_their_minute() -> None:
    async def take() -> float:
        pace = Pace(Service(max_requests_per_minute=3000))
        started = time.monotonic()
        await asyncio.gather(*(pace.take(1) for _ in range(30)))
        return time.monotonic() - started

    # Fifty a second, of which five may go at once.
    assert 0.45 < asyncio.run(take()) < 60


def test_tokens_keep_to_their_minute_and_what_was_guessed_wrong_is_set_right() -> None:
    async def take(used: int) -> float:
        pace = Pace(Service(max_tokens_per_minute=60_000))
        started = time.monotonic()
        for _ in range(5):
            await pace.take(100)
            pace.settle(100, used)
        return time.monotonic() - started

    # A thousand a second, of which a hundred may go at once.
    right, too_much, too_little = (asyncio.run(take(used)) for used in (100, 25, 200))
    assert right > 0.35
    assert too_little > 0.75
    assert too_much < right


def test_no_limit_is_no_wait() -> None:
    async def take() -> float:
        pace = Pace(Service())
        started = time.monotonic()
        for _ in range(1000):
            await pace.take(10**9)
        return time.monotonic() - started

    # At any limit, ten billion tokens would be hours.
    assert asyncio.run(take()) < 60


def test_a_pause_holds_all_and_a_shorter_one_does_not_end_it() -> None:
    async def wait() -> float:
        gate = Gate()
        gate.pause(0.2)
        gate.pause(0.01)
        started = time.monotonic()
        await asyncio.gather(gate.wait(), gate.wait())
        return time.monotonic() - started

    assert 0.19 < asyncio.run(wait()) < 60


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.05),
        ({"retry-after": "99999999"}, 3600),
        ({"retry-after": "20", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        # By the service's clock, which it tells; without that a date that has passed here tells nothing.
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.05),
        ({"retry-after": "Wed, 21 Oct 2095 17:28:00", "date": "Wed, 21 Oct 2095 07:28:00 GMT"}, 3600),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "noon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2095 07:28:00 GMT"}, 3600),
        ({}, None),
    ],
)
def test_a_service_says_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_service_says_until_when_to_wait() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    assert retry_after({"retry-after": date}) == pytest.approx(30, abs=2)


def test_waits_grow_and_end() -> None:
    waits = [[wait_before(attempt) for _ in range(50)] for attempt in (1, 2, 3, 20)]

    assert all(0.25 <= wait <= 0.5 for wait in waits[0])
    assert max(waits[0]) <= min(waits[2])
    assert max(waits[3]) <= 60
    assert len(set(waits[0])) > 1


def test_an_estimate_counts_prompt_pictures_and_room() -> None:
    assert estimate_tokens(400, 2, 50) == 101 + 2000 + 50
