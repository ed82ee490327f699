"""A share of a cache, for one of several machines: whole shards, so that parts make up the same files."""

from collections.abc import Sequence

from schemas.errors import ConfigError
from schemas.manifest import Part
from teacher_cache.config import parse_part
from teacher_cache.plan import ShardPlan


def take_part(text: str, shards: Sequence[ShardPlan]) -> tuple[Part, list[ShardPlan]]:
    """Choose the shards of one part.

    Every n-th shard, and not a stretch of them: so each part has about as many rows of each split, of which
    some may not be asked about.

    Args:
        text: `i/n`.
        shards: of the whole cache, in order.

    Returns:
        The part, for the manifest, and its shards.

    Raises:
        ConfigError: there are fewer shards than parts.
    """
    number, of = parse_part(text)
    if of > len(shards):
        raise ConfigError(
            f"--part {text}: the cache has {len(shards)} shards, {of} parts need as many; give fewer parts, "
            "or a lower --rows-per-shard to all of them"
        )
    chosen = list(shards[number - 1 :: of])
    return Part(number=number, of=of, rows=sum(len(shard.examples) for shard in chosen)), chosen
