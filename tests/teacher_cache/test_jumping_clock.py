"""The wall clock jumps by hours, as where a machine wakes up or its time is set: nothing depends on it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.console import progress
from schemas.errors import LockedError
from schemas.manifest_file import read_manifest
from teacher_cache import inspection, lock
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.lock import Holder, holder_of, writer_lock
from teacher_cache.teachers.openai_service import pace
from teacher_cache.writer import CacheWriter
from tests.teacher_cache.service import FaultyService
from tests.teacher_cache.test_lock import HOLD

HOURS = 36_000.0
Prompts = Callable[..., Path]
Run = Callable[..., dict[str, Any]]


class Wall:
    """The wall clock of this process, `ahead` seconds from the true one."""

    ahead = 0.0

    def jump(self) -> None:
        """Ten hours on, then back twenty, and on again."""
        self.ahead = -HOURS if self.ahead > 0 else HOURS


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """A wall clock that can jump, for all that asks it; the monotonic one goes on."""
    wall, true_time = Wall(), time.time

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(true_time() + wall.ahead, tz)

    monkeypatch.setattr(time, "time", lambda: true_time() + wall.ahead)
    monkeypatch.setattr(time, "time_ns", lambda: int((true_time() + wall.ahead) * 1e9))
    for module in (lock, pace):
        monkeypatch.setattr(module, "datetime", Jumping)
    return wall


@pytest.fixture
def sums(wall: Wall, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Whenever answers are kept, the clock jumps; gives the seconds that were counted until then."""
    record, sums = CacheWriter.record, list[dict[str, float]]()

    def jumping(writer: CacheWriter, answered: Any) -> None:
        wall.jump()
        record(writer, answered)
        sums.append(writer.clock.sums)

    monkeypatch.setattr(CacheWriter, "record", jumping)
    return sums


def test_a_cache_is_made_under_a_clock_that_jumps(
    prompts: Prompts, run: Run, tmp_path: Path, sums: list[dict[str, float]], shard_bytes: Any
) -> None:
    started = time.monotonic()
    summary = run(prompts(40))
    lasted = time.monotonic() - started

    assert (summary["asked"], summary["errors"]) == (40, 0)
    assert len(sums) >= 3
    assert sums == sorted(sums, key=lambda one: one["seconds"])
    (line,) = (tmp_path / "cache" / "journal" / "timings.jsonl").read_text().splitlines()
    for seconds in (json.loads(line), read_manifest(tmp_path / "cache").timings):
        assert 0 <= seconds["teacher_seconds"] <= seconds["seconds"] <= lasted + 0.01
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wall, "jump", lambda _: None)
        run(prompts(40), out=tmp_path / "calm")
    assert shard_bytes(tmp_path / "cache") == shard_bytes(tmp_path / "calm")


class DatedService(FaultyService):
    """A service that asks to be left alone until two seconds from now, by its own clock."""

    async def _respond(self, asked: Any, writer: Any) -> None:
        self.retry_after = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        await super()._respond(asked, writer)


@pytest.mark.parametrize("ahead", [HOURS, -HOURS])
def test_a_service_that_names_a_date_is_waited_for_by_its_own_clock(
    ahead: float, wall: Wall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    prompts, pauses, pause = tmp_path / "prompts.jsonl", list[float](), pace.Gate.pause
    rows = [{"example_id": f"{i}", "split": "train", "fields": {}, "prompt": f"{i} <<429*1>>"} for i in "abc"]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(
        pace.Gate, "pause", lambda self, seconds: pauses.append(seconds) or pause(self, seconds)
    )
    wall.ahead = ahead
    with DatedService() as service:
        given = {"model": "openai:parrot", "base_url": service.url, "prompts": prompts, "quiet": True}
        summary = cache_teacher(CacheConfig(**given, out=tmp_path / "cache"))

    assert (summary["asked"], summary["errors"]) == (3, 0)
    # Its dates are in whole seconds.
    assert pauses
    assert all(1 <= seconds <= 2 for seconds in pauses)


def test_a_lock_is_not_taken_for_its_date(tmp_path: Path, repository: Path, wall: Wall) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for _ in range(3):
            wall.jump()
            with pytest.raises(LockedError, match="is being written"), writer_lock(tmp_path):
                pass
            holder = holder_of(tmp_path)
            assert holder is not None
            # Its rate is by the clock that does not jump.
            assert 0 < (holder.seconds() or 0) < 600
        other.kill()


def test_a_rate_is_none_where_dates_cannot_tell(wall: Wall) -> None:
    here = socket.gethostname()
    holder = Holder(
        pid=1,
        host="elsewhere",
        started=datetime.now(UTC).isoformat(),
        clock=time.monotonic() - 10,
        rows_before=5,
    )
    assert inspection._rate(replace(holder, host=here), 25) == pytest.approx(2, rel=0.01)
    wall.ahead = -HOURS
    assert inspection._rate(holder, 25) is None
    assert inspection._rate(replace(holder, started="unknown"), 25) is None
    assert inspection._rate(replace(holder, host=here), 25) == pytest.approx(2, rel=0.01)
    wall.ahead = 10.0
    assert inspection._rate(holder, 25) == pytest.approx(2, rel=0.1)
    assert inspection._rate(None, 25) is None


def test_progress_is_told_by_the_clock_that_does_not_jump(
    wall: Wall, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("asking", 100, "rows") as advance:
        for _ in range(100):
            wall.jump()
            advance(1)
    # Its lines are seconds apart, so hours would show as one after every row.
    assert len(capsys.readouterr().err.splitlines()) <= 3
