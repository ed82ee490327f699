"""One writer at a time: a lock that the system drops when its process ends, however it ends."""

import fcntl
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import LockedError

LOCK_NAME = ".lock"
# struct flock of Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who writes to a cache.

    Attributes:
        pid: of the process.
        host: that it runs on.
        started: when it took the lock, ISO 8601, UTC.
        clock: the same by its machine's monotonic clock, which never jumps; None where that is not known.
        rows_before: rows that were answered before it began, for its rate.
    """

    pid: int
    host: str
    started: str
    clock: float | None = None
    rows_before: int = 0

    def seconds(self) -> float | None:
        """How long it has written; None where another machine's dates cannot tell."""
        if self.clock is not None and self.host == socket.gethostname():
            return time.monotonic() - self.clock
        try:
            seconds = (datetime.now(UTC) - datetime.fromisoformat(self.started)).total_seconds()
        except ValueError:
            return None
        return seconds if seconds > 0 else None


@contextmanager
def writer_lock(folder: Path) -> Generator[Callable[[int], None]]:
    """Hold a cache for writing; gives a function that notes how many rows were answered before.

    Raises:
        LockedError: another process holds it.
    """
    path = folder / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise LockedError(_refusal(folder, _read(path))) from None
        started = datetime.now(UTC).isoformat(timespec="seconds")
        holder = Holder(pid=os.getpid(), host=socket.gethostname(), started=started, clock=time.monotonic())
        _write(descriptor, holder)
        yield lambda rows: _write(descriptor, replace(holder, rows_before=rows))
    finally:
        os.close(descriptor)


def holder_of(folder: Path) -> Holder | None:
    """Who writes to a cache now; the lock is looked at, never taken."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        question = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_ = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else _read(folder / LOCK_NAME)


def _write(descriptor: int, holder: Holder) -> None:
    text = json.dumps(asdict(holder)).encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _read(path: Path) -> Holder:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Holder(pid=0, host="unknown", started="unknown")


def _refusal(folder: Path, holder: Holder) -> str:
    return (
        f"{folder} is being written by process {holder.pid} on {holder.host} since {holder.started}; "
        "wait for it, stop it, or give another --out"
    )
