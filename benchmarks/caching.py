"""Caching: what the loop costs beside the teacher, in time and memory.

The teacher of the first and third claim answers at once with a representation of the speech teacher's width,
so all that is measured is reading, journal, shards and manifest, with their fsyncs. The second sets the whole
command against the same teacher asked with nothing kept.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.measure import ROOT, Claim, claim_of, seconds_of
from schemas.answer import Answer
from schemas.example import Example
from schemas.manifest import TeacherIdentity
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.teachers import BACKENDS, Backend, TeacherSettings, find_backend

SPEECH = "speech:hibari+whisper-tiny.en"
_WIDTH, _ROWS, _ROUNDS = 384, 320, 3
_REPR = np.arange(_WIDTH, dtype=np.float16)


class InstantTeacher:
    """Answers at once, the same for every row."""

    num_retries = 0
    identity = TeacherIdentity(backend="instant", name="", revision="1", modality="none", repr_dim=_WIDTH)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        return None

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """One constant answer an example."""
        return [Answer(repr=_REPR) for _ in examples]


BACKENDS["instant"] = Backend(
    make=lambda _: InstantTeacher(), signals=("repr",), default_signals=("repr",), default_batch_size=4
)


def run() -> list[Claim]:
    """Measure the three claims."""
    source = ROOT / "data/tasks/movie-reviews"
    instant = [_cached("instant:", source, 3200) / 3200 for _ in range(_ROUNDS)]
    pairs = [(_cached(SPEECH, source, _ROWS), _bare(source)) for _ in range(_ROUNDS)]
    # Two processes of the teacher answer at once, and so does the machine's second core when the loop works.
    teacher = min(bare for _, bare in pairs) / _ROWS
    return [
        claim_of(
            "time of the loop by itself, as a share of the speech teacher's",
            [seconds / teacher for seconds in instant],
            at_most=0.03,
            detail=f"{1000 * min(instant):.2f} ms against {1000 * teacher:.1f} ms a row",
        ),
        claim_of(
            "cache-teacher against the same teacher asked with nothing kept",
            [ours / bare for ours, bare in pairs],
            at_most=1.03,
            detail=f"{_ROWS} rows in {min(ours for ours, _ in pairs):.1f} s, starting the teacher included",
        ),
        _memory(),
    ]


def _cached(model: str, source: Path, rows: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        config = CacheConfig(model=model, out=Path(folder) / "cache", source=source, limit=rows, quiet=True)
        return seconds_of(lambda: cache_teacher(config))


def _bare(source: Path) -> float:
    config = CacheConfig(model=SPEECH, source=source, limit=_ROWS)

    async def ask() -> None:
        examples = make_plan(config).examples
        backend, _, name = find_backend(SPEECH)
        settings = TeacherSettings(name=name, store=("repr",), num_workers=config.num_workers)
        size = backend.default_batch_size
        async with backend.make(settings) as teacher:
            batches = (examples[start : start + size] for start in range(0, len(examples), size))
            await asyncio.gather(*map(teacher.answer, batches))

    return seconds_of(lambda: asyncio.run(ask()))


def _memory() -> Claim:
    peaks = [[_peak_in_new_process(rows) for rows in (1_000, 10_000)] for _ in range(_ROUNDS)]
    return claim_of(
        "peak memory at 10,000 rows against 1,000 rows",
        [large / small for small, large in peaks],
        at_most=1.1,
        detail=" and ".join(f"{min(column) / 2**20:.0f} MiB" for column in zip(*peaks, strict=True)),
    )


def _peak_in_new_process(rows: int) -> int:
    command = [sys.executable, "-c", f"from benchmarks.caching import peak; print(peak({rows}))"]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def peak(rows: int) -> int:
    """Peak resident bytes of this process after caching so many rows of prompts of 26 words."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        prompts.write_text("".join(json.dumps(_example(row)) + "\n" for row in range(rows)))
        config = CacheConfig(model="instant:", out=Path(folder) / "cache", prompts=prompts, quiet=True)
        cache_teacher(config)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _example(row: int) -> dict[str, Any]:
    text = " ".join([f"row{row}", *["word"] * 25])
    return {"example_id": str(row), "task": "movie-sentiment", "split": "train", "fields": {"text": text}}
