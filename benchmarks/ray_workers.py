"""Ray: the same sentences by two workers of a cluster on this machine, by one, and by one without Ray.

The speech teacher, one thread a worker, through the whole of `cache-teacher`, each run in a process and a
cluster of its own, the ways in turn. A run is timed from the first answers that it keeps to its end, by the
rows that come after those; until the first, models are loaded and the cluster starts, which is told apart.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.caching import SPEECH
from benchmarks.measure import ROOT, Claim, claim_of

_ROWS, _ROUNDS = 192, 3
_WAYS = {"local": ("local", 1), "one": ("ray", 1), "two": ("ray", 2)}


def run() -> list[Claim]:
    """Measure the claims."""
    rounds = [{name: _measured(*way) for name, way in _WAYS.items()} for _ in range(_ROUNDS)]

    def each(name: str, value: str) -> list[float]:
        return [one[name][value] for one in rounds]

    rates = ", ".join(f"{name} {1 / median(each(name, 'seconds')):.1f} rows/s" for name in _WAYS)
    starts = ", ".join(f"{name} {median(each(name, 'until_first')):.1f}" for name in _WAYS)
    return [
        claim_of(
            "time of two workers by that of one, from the first answers to the end",
            [one["two"]["seconds"] / one["one"]["seconds"] for one in rounds],
            at_most=0.65,
            detail=f"{_ROWS} sentences, {rates}",
        ),
        claim_of(
            "time of one worker by that of one process without Ray, from the first answers to the end",
            [one["one"]["seconds"] / one["local"]["seconds"] for one in rounds],
        ),
        claim_of(
            "seconds until the first answers, two workers of a cluster",
            each("two", "until_first"),
            detail=f"by way {starts}",
        ),
        claim_of(
            "time of two workers by that of one, start and end included",
            [one["two"]["whole"] / one["one"]["whole"] for one in rounds],
        ),
    ]


def _measured(engine: str, workers: int) -> dict[str, float]:
    """Seconds a row, until the first answers, and in all."""
    command = [sys.executable, "-c", f"from benchmarks.ray_workers import ask; ask({engine!r}, {workers})"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "RAY_TMPDIR": folder,
        }
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def ask(engine: Any, workers: int) -> None:
    """Make a cache in this process, and print its seconds."""
    from teacher_cache.cache import cache_teacher
    from teacher_cache.config import CacheConfig
    from teacher_cache.writer import CacheWriter

    record, kept = CacheWriter.record, list[tuple[float, int]]()

    def timed(self: CacheWriter, answered: Any) -> None:
        record(self, answered)
        kept.append((time.perf_counter(), sum(len(answers) for *_, answers in answered)))

    CacheWriter.record = timed
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = CacheConfig(
            model=SPEECH,
            out=Path(folder) / "cache",
            source=ROOT / "data/tasks/movie-reviews",
            engine=engine,
            workers=workers,
            limit=_ROWS,
            quiet=True,
        )
        summary = cache_teacher(config)
    whole = time.perf_counter() - started
    assert (summary["asked"], summary["errors"]) == (_ROWS, 0)
    (first, before), (last, _) = kept[0], kept[-1]
    told = {"seconds": (last - first) / (_ROWS - before), "until_first": first - started, "whole": whole}
    print(json.dumps(told))
