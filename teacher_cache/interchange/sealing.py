"""Rows of an import to sealed shards, no more than a row group in memory."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from schemas.answer import Answer
from schemas.example import Example
from schemas.manifest import CacheManifest
from schemas.row_groups import ROW_GROUP_BYTES, group_bounds, row_bytes
from schemas.rows import Row, encode
from schemas.shard import arrow_schema, seal_groups
from teacher_cache.plan import ShardPlan

Answered = Iterator[tuple[Example, Answer]]
# Rows that are encoded together; row groups are cut from them by their bytes.
_BATCH_ROWS = 32


def seal_split(
    folder: Path, manifest: CacheManifest, shards: list[ShardPlan], answered: Answered
) -> CacheManifest:
    """Seal the shards of one split.

    Args:
        folder: of the cache.
        manifest: with the shards sealed before.
        shards: of the split, in order.
        answered: its rows, in order.

    Returns:
        The manifest with these shards.
    """
    schema = arrow_schema(manifest)
    for shard in shards:
        rows = islice(answered, len(shard.examples))
        file = seal_groups(folder, shard.name, shard.split, _groups(rows, schema), schema)
        manifest = manifest.model_copy(update={"files": (*manifest.files, file)})
    return manifest


def _groups(answered: Answered, schema: pa.Schema) -> Iterator[pa.Table]:
    waiting = pa.Table.from_batches([], schema)
    while batch := list(islice(answered, _BATCH_ROWS)):
        rows = [Row(example, example.prompt or "", answer) for example, answer in batch]
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([encode(rows, schema)])])
        if waiting.nbytes > ROW_GROUP_BYTES:
            *whole, (last, _) = group_bounds(row_bytes(waiting))
            yield from (waiting.slice(start, stop - start) for start, stop in whole)
            waiting = waiting.slice(last)
    yield from (waiting.slice(a, b - a) for a, b in group_bounds(row_bytes(waiting)))
