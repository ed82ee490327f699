"""`--dry-run`: ask for a few rows, write nothing, and say what those still to be asked would take."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.answer import Answer
from schemas.example import Example
from schemas.manifest import MANIFEST_NAME, CacheManifest
from schemas.manifest_file import read_manifest
from schemas.rows import Row, encode
from schemas.shard import arrow_schema, write_groups
from teacher_cache.config import CacheConfig
from teacher_cache.journal import Journal
from teacher_cache.plan import Plan, ShardPlan
from teacher_cache.settings import concurrency_of
from teacher_cache.spending import Spending
from teacher_cache.teachers import Backend, Teacher
from teacher_cache.writer import journal_path

SAMPLE_ROWS = 8
# Two batches of a local model are asked, of no more rows than this.
_MOST_IN_A_BATCH = 16


@dataclass(frozen=True, slots=True)
class _Sample:
    """Rows spread evenly over the whole, and what asking for them took.

    Attributes:
        examples: as they were asked.
        answers: to them; None where the teacher is not asked.
        seconds_per_row: of a long run at full concurrency.
    """

    examples: Sequence[Example]
    answers: Sequence[Answer | None]
    seconds_per_row: float


def remaining(
    folder: Path, wanted: CacheManifest, shards: Sequence[ShardPlan]
) -> tuple[CacheManifest, list[Example]]:
    """What the folder holds of a cache, and the examples that have no answer there, in order.

    A folder that does not exist, or that holds another cache, has none of them.

    Raises:
        ManifestError: there is a manifest, and it is damaged.
    """
    found = read_manifest(folder) if (folder / MANIFEST_NAME).is_file() else None
    if found is None or (found.fingerprint, found.part) != (wanted.fingerprint, wanted.part):
        return wanted, [example for shard in shards for example in shard.examples]
    sealed = {file.name for file in found.files}
    schema = arrow_schema(found)
    left = list[Example]()
    for shard in shards:
        if shard.name not in sealed:
            frames = Journal(journal_path(folder, shard.name), schema, found.fingerprint).frames()
            ids = {name for _, batch in frames for name in batch.column("example_id").to_pylist()}
            left += [example for example in shard.examples if example.id not in ids]
    return found, left


async def project(
    *,
    teacher: Teacher,
    manifest: CacheManifest,
    plan: Plan,
    left: Sequence[Example],
    config: CacheConfig,
    backend: Backend,
    spending: Spending,
) -> dict[str, Any]:
    """Measure a sample, spread evenly over the rows that are left, and scale it up.

    Returns:
        Rows, projected seconds, bytes, tokens and money (where the teacher counts them), and what the sample
        showed and cost.

    Raises:
        TeacherError: the teacher cannot be asked, or the budget has no room for the sample.
    """
    asked = [one for one in left if config.teach == "all" or one.split == "train"]
    num_asked = len(asked) if backend.signals else 0
    if num_asked:
        sample = await _measure(teacher, asked, config, backend, spending)
    else:
        sample = _Sample(left[:SAMPLE_ROWS], [None] * len(left[:SAMPLE_ROWS]), 0.0)
    scale = len(plan.examples) / len(sample.examples)
    spent = spending.spent
    shown = spent.model_dump() if spent else {}
    each = num_asked / len(sample.examples)
    return {
        "dry_run": True,
        "rows": len(plan.examples),
        "rows_to_ask": num_asked,
        "splits": plan.splits,
        "projected_seconds": round(_slowest(sample, num_asked, config, spending), 1),
        "projected_bytes": round(_stored_bytes(sample, manifest) * scale),
        "projected_tokens": round((shown.get("prompt_tokens", 0) + shown.get("completion_tokens", 0)) * each),
        "projected_cost": None if shown.get("cost") is None else round(shown["cost"] * each, 6),
        "currency": shown.get("currency"),
        "sample_rows": len(sample.examples),
        "sample_cost": shown.get("cost"),
        "sample_errors": [one.error for one in sample.answers if one is not None and one.error],
    }


async def _measure(
    teacher: Teacher, examples: Sequence[Example], config: CacheConfig, backend: Backend, spending: Spending
) -> _Sample:
    """Ask in calls of the size and number that the run itself would use, as far as a sample can."""
    size = min(config.batch_size or backend.default_batch_size, _MOST_IN_A_BATCH) if backend.in_line else 1
    wanted = max(SAMPLE_ROWS, 2 * size)
    sample = list(examples[:: max(1, len(examples) // wanted)][:wanted])
    batches = [sample[start : start + size] for start in range(0, len(sample), size)]
    spending.resume(len(sample), len(sample), 0, 0)
    if not spending.reserve(sample):
        raise spending.exhausted()
    async with teacher:
        if not backend.default_concurrency:
            # The first call of each process is slow for reasons that a long run does not feel.
            await asyncio.gather(*(teacher.answer(sample[:1]) for _ in range(config.num_workers)))
        started = time.monotonic()
        timed = await asyncio.gather(*(_timed(teacher, batch) for batch in batches))
        elapsed = time.monotonic() - started
    answers = [answer for _, batch in timed for answer in batch]
    spending.settle(sample, answers)
    parallel = concurrency_of(config, backend) if backend.default_concurrency else config.num_workers
    if len(batches) < parallel and not backend.in_line:
        # There were fewer calls than a run has in flight: what one took, so many at once.
        elapsed = sum(seconds for seconds, _ in timed) / parallel
    return _Sample(sample, answers, elapsed / len(sample))


async def _timed(teacher: Teacher, batch: Sequence[Example]) -> tuple[float, Sequence[Answer]]:
    started = time.monotonic()
    answers = await teacher.answer(batch)
    return time.monotonic() - started, answers


def _slowest(sample: _Sample, num_asked: int, config: CacheConfig, spending: Spending) -> float:
    """Seconds by the teacher's own pace, or by a limit a minute where that is slower."""
    seconds = [sample.seconds_per_row * num_asked]
    if config.max_requests_per_minute:
        seconds.append(num_asked / config.max_requests_per_minute * 60)
    if config.max_tokens_per_minute and (spent := spending.spent):
        tokens = (spent.prompt_tokens + spent.completion_tokens) / len(sample.examples) * num_asked
        seconds.append(tokens / config.max_tokens_per_minute * 60)
    return max(seconds)


def _stored_bytes(sample: _Sample, manifest: CacheManifest) -> int:
    rows = [Row(e, e.prompt or "", answer) for e, answer in zip(sample.examples, sample.answers, strict=True)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_batches([encode(rows, arrow_schema(manifest))])
    write_groups(sink, [table], table.schema)
    group = pq.read_metadata(pa.BufferReader(sink.getvalue())).row_group(0)
    return sum(group.column(index).total_compressed_size for index in range(group.num_columns))
