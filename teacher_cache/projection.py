"""`--dry-run`: ask for a few rows, write nothing, and say what the whole would take."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.answer import Answer
from schemas.example import Example
from schemas.manifest import CacheManifest
from schemas.rows import Row, encode
from schemas.shard import arrow_schema
from teacher_cache.plan import Plan
from teacher_cache.teachers import Teacher

SAMPLE_ROWS = 8


async def project(
    teacher: Teacher, manifest: CacheManifest, plan: Plan, num_workers: int, *, asks: bool
) -> dict[str, Any]:
    """Measure a sample, spread evenly over the rows, and scale it up.

    Returns:
        Rows, projected seconds, bytes and (where the teacher counts them) tokens, and what the sample showed.
    """
    step = max(1, len(plan.examples) // SAMPLE_ROWS)
    sample = plan.examples[::step][:SAMPLE_ROWS]
    seconds, answers = await _timed(teacher, sample, num_workers) if asks else (0.0, [None] * len(sample))
    scale = len(plan.examples) / len(sample)
    tokens = [answer.usage for answer in answers if answer is not None and answer.usage is not None]
    return {
        "dry_run": True,
        "rows": len(plan.examples),
        "splits": plan.splits,
        "projected_seconds": round(seconds * scale, 1),
        "projected_bytes": round(_stored_bytes(sample, answers, manifest) * scale),
        "projected_tokens": round(sum(u.prompt_tokens + u.completion_tokens for u in tokens) * scale),
        "sample_rows": len(sample),
        "sample_errors": [answer.error for answer in answers if answer is not None and answer.error],
    }


async def _timed(
    teacher: Teacher, sample: Sequence[Example], num_workers: int
) -> tuple[float, list[Answer | None]]:
    async with teacher:
        # The first call of each worker is slow for reasons that a long run does not feel.
        await asyncio.gather(*(teacher.answer(sample[:1]) for _ in range(num_workers)))
        started = time.monotonic()
        answers = await asyncio.gather(*(teacher.answer([example]) for example in sample))
        return time.monotonic() - started, [answer for (answer,) in answers]


def _stored_bytes(
    sample: Sequence[Example], answers: Sequence[Answer | None], manifest: CacheManifest
) -> int:
    rows = [Row(e, e.prompt or "", answer) for e, answer in zip(sample, answers, strict=True)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_batches([encode(rows, arrow_schema(manifest))])
    pq.write_table(table, sink, compression="zstd")
    group = pq.read_metadata(pa.BufferReader(sink.getvalue())).row_group(0)
    return sum(group.column(index).total_compressed_size for index in range(group.num_columns))
