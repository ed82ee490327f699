"""The rows of a cache that a foreign format is to hold, read one batch at a time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schemas.cache import TeacherCache
from schemas.codec import CODECS
from schemas.example import Message, turns_of
from schemas.rows import Row, decode
from schemas.topk import TopK, rescale

# Rows that are in memory at once.
_BATCH_ROWS = 64


class LeftOut(Exception):  # noqa: N818 - no error: the row is counted under its reason
    """A row that the format cannot hold; the message says why, in words that follow a number of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSource:
    """A cache, and what the user says of how to write it.

    Attributes:
        cache: opened, its digests compared.
        splits: to write, in order.
        tokenizer: folder of the tokenizer that the teacher's tokens are of; None where none was given.
        length: tokens of each row of a format whose rows have one length; None takes the longest row.
        left_out: rows that were not written, by reason.
    """

    cache: TeacherCache
    splits: tuple[str, ...]
    tokenizer: Path | None = None
    length: int | None = None
    left_out: Counter[str] = field(default_factory=Counter[str])

    def rows(self, split: str) -> Iterator[Row]:
        """Rows with an answer, in order; the others are counted where the split is read last."""
        for _, shard in self.cache.shards(split):
            with shard:
                for batch in shard.iter_batches(_BATCH_ROWS):
                    yield from decode(batch)

    def top_of(self, row: Row) -> TopK:
        """The entries of a row, so that they and the tail sum to one."""
        answer, manifest = row.answer, self.cache.manifest
        assert answer is not None
        assert answer.topk_ids is not None
        assert answer.topk_logprobs is not None
        codec = CODECS[manifest.request.codec or ""]
        top = codec.decode(answer.topk_ids, answer.topk_logprobs, manifest.teacher.vocab_size or 0)
        tail = answer.tail_logprob
        return top if codec.name == "exact" or tail is None else rescale(top, tail)


def check_answered(row: Row, needs: tuple[str, ...]) -> None:
    """Leave out rows that say nothing, or not what is needed.

    Raises:
        LeftOut: it is such a row.
    """
    answer = row.answer
    if answer is None:
        raise LeftOut("were not taught")
    if answer.error is not None:
        raise LeftOut("are errors")
    if "logprobs" in needs and not (
        answer.topk_ids and answer.token_ids is not None and len(answer.token_ids)
    ):
        raise LeftOut("have no tokens")
    if "text" in needs and not answer.texts:
        raise LeftOut("have no text")
    if row.example.media:
        raise LeftOut("show pictures or sounds, which this format cannot hold")


def chat_messages(row: Row, system: str | None) -> list[dict[str, str]]:
    """The prompt as services take it."""
    turns = turns_of(row.prompt) or (Message("user", row.prompt),)
    if system is not None and turns[0].role != "system":
        turns = (Message("system", system), *turns)
    return [{"role": turn.role, "content": turn.content} for turn in turns]
