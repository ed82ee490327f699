"""Which examples a cache takes, and in which order."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from schemas.example import Example

_LIMIT_SEED = 20260311


def in_split_order(examples: Sequence[Example], splits: Sequence[str]) -> list[Example]:
    """The examples of these splits: split after split, each in the order of its source."""
    return [example for split in splits for example in examples if example.split == split]


def limited(examples: Sequence[Example], limit: int | None) -> list[Example]:
    """Keep `limit` rows over all splits, in proportion, in their order.

    A split's rows stand in a seeded order; row r (from 0) of a split of n gets the key (r + 1/2) / n, and
    the rows with the lowest keys are kept. That is Webster's method of apportionment: shares are within a
    row of proportional, and a lower limit always takes a subset of a higher one, which the method of
    largest remainders does not promise.
    """
    if limit is None or limit >= len(examples):
        return list(examples)
    sizes = Counter(example.split for example in examples)
    ranks: Counter[str] = Counter()
    keys: list[tuple[float, int]] = []
    for index in sorted(range(len(examples)), key=lambda index: _seeded(examples[index].id)):
        split = examples[index].split
        keys.append(((ranks[split] + 0.5) / sizes[split], index))
        ranks[split] += 1
    return [examples[index] for index in sorted(index for _, index in sorted(keys)[:limit])]


def _seeded(identifier: str) -> bytes:
    return hashlib.sha256(f"{_LIMIT_SEED}:{identifier}".encode()).digest()
