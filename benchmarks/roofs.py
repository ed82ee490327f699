"""What this machine can do at most: products of matrices, memory, the disk."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

# Rows of a batch by width, and the two widths of MiniLM's largest layer.
ROWS, WIDTHS = 1024, (384, 1536)
_ROUNDS, _COPIED, _WRITTEN = 12, 1 << 28, 1 << 28


def matrix_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a product as large as the student's largest."""
    narrow, wide = WIDTHS
    states = torch.randn(ROWS, narrow).to(dtype)
    weight = torch.randn(wide, narrow).to(dtype)
    return 2 * ROWS * narrow * wide / _shortest(lambda: torch.nn.functional.linear(states, weight))


def copy_rate() -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source = torch.ones(_COPIED // 4)
    target = torch.empty_like(source)
    return 2 * _COPIED / _shortest(lambda: target.copy_(source))


def disk_rate(folder: Path | None = None) -> float:
    """Bytes a second written to a file and brought to the disk."""
    data = os.urandom(_WRITTEN)
    with tempfile.NamedTemporaryFile(dir=folder) as file:

        def write() -> None:
            file.seek(0)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

        return _WRITTEN / _shortest(write, rounds=3)


def _shortest(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    work()
    seconds: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
