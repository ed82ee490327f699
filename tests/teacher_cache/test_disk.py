"""A disk that is full, or may not be written to: one line, nothing lost, and the same command goes on."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Prompts = Callable[..., Path]
Run = Callable[..., dict[str, Any]]
WRITES = [
    (os, "pwrite"),
    (os, "fsync"),
    (os, "ftruncate"),
    (Path, "replace"),
    (Path, "write_text"),
    (Path, "write_bytes"),
    (Path, "mkdir"),
]


class FullDisk:
    """Every way of writing, counted; the one with the given number (from 1) finds the disk full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: int) -> None:
        self.calls = 0
        self._fails = fails
        for owner, name in WRITES:
            monkeypatch.setattr(owner, name, self._guarded(getattr(owner, name)))

    def _guarded(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(*arguments, **options)

        return guarded


def test_a_disk_that_is_full_at_any_write_loses_nothing(
    prompts: Prompts, run: Run, teachers: list[Any], tmp_path: Path, shard_bytes: Any
) -> None:
    file = prompts(20)
    run(file, out=tmp_path / "whole")
    fails, done = 0, False
    while not done:
        fails += 1
        out = tmp_path / f"full-{fails}"
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(patch, fails)
            try:
                run(file, out=out)
                done = True
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        run(file, out=out)
        assert shard_bytes(out) == shard_bytes(tmp_path / "whole"), f"write {fails}"
        assert not list(out.glob(".*.tmp"))
    assert fails > 30


def test_a_file_size_limit_is_one_line_and_loses_nothing(
    prompts: Prompts, tmp_path: Path, command: Any, environment: Any, shard_bytes: Any
) -> None:
    file = prompts(60, fields={"text": "a long sentence " * 200})
    for limit in (200, 20_000, 100_000):
        finished = subprocess.run(
            command(file, tmp_path / "cache"),
            env=environment(),
            capture_output=True,
            text=True,
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            check=False,
        )
        assert finished.returncode == 1
        assert finished.stderr.startswith("cache-teacher: cannot write"), finished.stderr
        assert finished.stderr.count("\n") == 1

    for folder in ("cache", "whole"):
        subprocess.run(command(file, tmp_path / folder), env=environment(), check=True)
    assert shard_bytes(tmp_path / "cache") == shard_bytes(tmp_path / "whole")


def test_a_folder_that_may_not_be_written_is_one_line(
    prompts: Prompts,
    teachers: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from teacher_cache.cli import main

    (tmp_path / "cache").mkdir()
    really_open = os.open

    def read_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        # Root may write where the mode forbids it, so the mode alone would test nothing in a container.
        if flags & (os.O_WRONLY | os.O_RDWR) and str(tmp_path / "cache") in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return really_open(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(
        sys,
        "argv",
        ["cache-teacher", "--model", "fast:", "--prompts", str(prompts(5)), "--out", str(tmp_path / "cache")],
    )
    with pytest.raises(SystemExit) as stopped:
        main()

    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(f"cache-teacher: cannot write {tmp_path}/cache/.lock: Permission denied; ")
    assert said.count("\n") == 1
