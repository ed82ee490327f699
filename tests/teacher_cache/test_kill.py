"""Killed and resumed equals uninterrupted, byte for byte; two processes never write at once."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.manifest_file import read_manifest

Prompts = Callable[..., Path]
HERE = Path(__file__).parent
ROWS, KILLS = 200, 50
IN_FLIGHT = 4 * 3
SHARDS = ("--rows-per-shard", "20")


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within half a minute")


def test_killed_at_fifty_random_moments_no_byte_differs(
    prompts: Prompts, tmp_path: Path, shard_bytes: Any, environment: Any
) -> None:
    log = tmp_path / "asked.txt"
    finished = subprocess.run(
        [sys.executable, HERE / "kill_loop.py", prompts(ROWS), tmp_path, str(KILLS), "11"],
        env=environment(FAST_DELAY="0.002", FAST_LOG=str(log)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    counted = json.loads(finished.stdout)
    assert counted["kills"] >= KILLS
    whole = shard_bytes(tmp_path / "whole")
    assert len(whole) == 11
    for folder in tmp_path.glob("killed-*"):
        assert shard_bytes(folder) == whole
        assert not list(folder.glob(".*.tmp"))
    # Only what was in flight when a run was killed is asked again.
    asked = len(log.read_text().splitlines())
    assert asked <= ROWS * (counted["caches"] + 1) + IN_FLIGHT * counted["kills"]


def test_the_command_killed_and_resumed(
    prompts: Prompts, tmp_path: Path, shard_bytes: Any, command: Any, environment: Any
) -> None:
    file, cut, whole = prompts(ROWS), tmp_path / "cut", tmp_path / "whole"
    process = subprocess.Popen(command(file, cut, *SHARDS), env=environment(FAST_DELAY="0.02"))
    wait_for(lambda: any(cut.glob("*.parquet")))
    process.kill()
    process.wait()
    assert not read_manifest(cut).complete

    for out in (cut, whole):
        subprocess.run(command(file, out, *SHARDS), env=environment(), check=True, timeout=60)
    assert shard_bytes(cut) == shard_bytes(whole)


def ignore_ctrl_c() -> None:
    """What a shell does to a job that a script puts into the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("sent", "begin"), [(signal.SIGINT, None), (signal.SIGTERM, None), (signal.SIGTERM, ignore_ctrl_c)]
)
def test_asked_to_stop_it_is_one_line_and_keeps_what_was_done(
    *, prompts: Prompts, tmp_path: Path, command: Any, environment: Any, sent: signal.Signals, begin: Any
) -> None:
    file, out = prompts(ROWS), tmp_path / "cache"
    process = subprocess.Popen(
        command(file, out, *SHARDS),
        env=environment(FAST_DELAY="0.02"),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=begin,  # noqa: PLW1509 - no thread is there yet
    )
    wait_for(lambda: any(out.glob("*.parquet")))
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 130
    assert errors.lstrip() == "cache-teacher: interrupted; what was done is kept, the same command goes on\n"
    assert (
        subprocess.run(command(file, out, *SHARDS), env=environment(), check=False, timeout=60).returncode
        == 0
    )


def test_a_second_process_refuses_and_names_the_first(
    prompts: Prompts, tmp_path: Path, command: Any, environment: Any
) -> None:
    from teacher_cache.inspection import status

    file, out = prompts(ROWS), tmp_path / "cache"
    first = subprocess.Popen(command(file, out, *SHARDS), env=environment(FAST_DELAY="0.4"))
    try:
        wait_for(lambda: any((out / "journal").glob("*.journal")))
        second = subprocess.run(
            command(file, out, *SHARDS),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        beside = status(out)
    finally:
        first.kill()
        first.wait()

    assert second.returncode == 1
    assert f"{out} is being written by process {first.pid} on " in second.stderr
    assert second.stderr.count("\n") == 1
    assert beside["writer"]["pid"] == first.pid
    assert beside["journalled_rows"] + beside["sealed_rows"] > 0
    assert beside["seconds_left"] > 0
    assert status(out)["writer"] is None
