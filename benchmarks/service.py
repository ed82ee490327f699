"""A service: the loop over `openai:` beside a bare asyncio client that throws its answers away.

Both ask a server on this machine that answers at once, in turns, with the same requests and as many in
flight. The bare client is benchmarks/bare_client.py. Ours reads the examples, keeps every answer, with an
fsync before it counts, and seals shards. With few in flight it waits for the disk: no row is asked while as
many others are in flight or not yet kept, so a kill costs no more.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bare_client import ask_all
from benchmarks.instant_service import MODEL
from benchmarks.measure import ROOT, Claim, claim_of, seconds_of
from schemas.example import Example
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan

_ROWS, _ROUNDS = 3000, 5
# Requests in flight, 32 of which are the default, and the ratio that is wanted.
_WANTED = {8: None, 32: 0.8, 128: 0.8}
_SOURCE = ROOT / "data/tasks/movie-reviews"


def run() -> list[Claim]:
    """Measure at several numbers of requests in flight."""
    with instant_service() as url:
        _bare(url, _examples(100), 8)
        _cached(url, 8, 100)  # now all that is imported late is there
        return [_compared(url, concurrency, wanted) for concurrency, wanted in _WANTED.items()]


def _compared(url: str, concurrency: int, wanted: float | None) -> Claim:
    examples = _examples(_ROWS)
    pairs = [(_cached(url, concurrency, _ROWS), _bare(url, examples, concurrency)) for _ in range(_ROUNDS)]
    ours, bare = (sorted(column)[_ROUNDS // 2] for column in zip(*pairs, strict=True))
    return claim_of(
        f"requests a second, cache-teacher by a bare client, {concurrency} in flight",
        [bare / ours for ours, bare in pairs],
        at_least=wanted,
        detail=f"{_ROWS / ours:.0f} and {_ROWS / bare:.0f} requests/s",
    )


def _examples(rows: int) -> list[Example]:
    return list(make_plan(CacheConfig(model="none", source=_SOURCE, limit=rows)).examples)


def _cached(url: str, concurrency: int, rows: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        config = CacheConfig(
            model=f"openai:{MODEL}",
            source=_SOURCE,
            limit=rows,
            base_url=url,
            concurrency=concurrency,
            out=Path(folder) / "cache",
            quiet=True,
        )
        return seconds_of(lambda: cache_teacher(config))


def _bare(url: str, examples: list[Example], concurrency: int) -> float:
    asked = ask_all(url, MODEL, examples, in_flight=concurrency, max_tokens=256)
    return seconds_of(lambda: asyncio.run(asked))


@contextmanager
def instant_service() -> Generator[str]:
    """Run the server in a process of its own; gives its base URL."""
    command = [sys.executable, "-m", "benchmarks.instant_service"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()
