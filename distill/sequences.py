"""Prompts and answers tokenised once, in flat, memory-mapped files: distill/ragged.py.

Letters: S rows of the split, R rows of the files: one a row of the split, but as many as it has texts of the
teacher, one at least, where those are learnt.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distill.methods import Answers
from distill.ragged import Flat, write_flat
from distill.tokens import hashes_of, kept, settings_of
from distill.vocabulary import num_ids
from distill.wording import Wording, answer_ids
from schemas.answer import reasons_of
from schemas.cache import TeacherCache
from schemas.files import cache_folder
from schemas.manifest import digest_of

_LAYOUT = 4
_LISTS = ("prompt_ids", "answer_ids")
_SCHEMA = pa.schema(
    [
        *((name, pa.list_(pa.int32())) for name in _LISTS),
        ("length", pa.int32()),
        ("num_taught", pa.int32()),
        ("row", pa.int64()),
        ("id_hash", pa.uint64()),
    ]
)


# Where answers come from, and why they ended.
_COLUMNS: dict[Answers, tuple[str, ...]] = {
    Answers.REFERENCE: ("target_text",),
    Answers.TEACHER_TEXT: ("teacher_text", "finish_reason"),
    Answers.TEACHER_TOKENS: ("token_ids", "finish_reason"),
}


class Sequences:
    """The token ids of a split's prompts and answers.

    Args:
        path: of the files.

    Attributes:
        prompts: of each row.
        answers: of each row, the end of the text last where the answer is whole; empty where there is none.
        lengths: tokens of prompt and answer, (R,).
        num_taught_R: tokens of the answer, from its first, that the teacher scored.
        id_hashes: of each row's example id.
        rows_R: of the split.
        group_starts: first row of each row group of the split, and the number of rows.
    """

    def __init__(self, path: Path) -> None:
        held = Flat(path)
        self.prompts, self.answers = (held.lists[name] for name in _LISTS)
        self.lengths: NDArray[np.int32] = held.columns["length"]
        self.num_taught_R: NDArray[np.int32] = held.columns["num_taught"]
        self.id_hashes: NDArray[np.uint64] = held.columns["id_hash"]
        self.rows_R: NDArray[np.int64] = held.columns["row"]
        self.group_starts = held.group_starts

    @cached_property
    def firsts_S(self) -> NDArray[np.int64]:  # noqa: N802 - a shape suffix
        """Of each row of the split its first here."""
        return np.flatnonzero(np.diff(self.rows_R, prepend=-1))


def sequences_of(
    cache: TeacherCache, split: str, tokenizer: Any, wording: Wording, answers: Answers
) -> Sequences:
    """Open the files of a split's sequences, and make them first where there are none.

    Args:
        cache: whose rows are read.
        split: of the cache.
        tokenizer: a fast tokenizer of transformers.
        wording: how prompts are put.
        answers: whose they are.
    """
    words = [wording.chat, wording.system, str(tokenizer.chat_template) if wording.chat else None]
    key = digest_of(
        [
            _LAYOUT,
            cache.manifest.digest,
            split,
            settings_of(tokenizer),
            words,
            tokenizer.eos_token_id,
            answers,
        ]
    )
    path = cache_folder() / "sequences" / f"{key[:32]}.json"

    def make() -> None:
        write_flat(path, _batches(cache, split, tokenizer, wording, answers))

    return kept(path, Sequences, make)


def _batches(
    cache: TeacherCache, split: str, tokenizer: Any, wording: Wording, answers: Answers
) -> Iterator[pa.RecordBatch]:
    columns, num_rows = ["example_id", "prompt", *_COLUMNS[answers]], 0
    for _, shard in cache.shards(split):
        with shard:
            for group in range(shard.num_row_groups):
                table = shard.read_row_group(group, columns=columns)
                answered = _answers(table, tokenizer, answers)
                places = np.repeat(np.arange(len(answered)), np.fromiter(map(len, answered), int))
                prompts = wording.prompts(tokenizer, table.column("prompt").to_pylist())
                flat = [one for given in answered for one in given]
                scored = answers is Answers.TEACHER_TOKENS
                own = [prompts[place] for place in places.tolist()]
                yield pa.RecordBatch.from_arrays(
                    [
                        pa.array(own, _SCHEMA.field("prompt_ids").type),
                        pa.array([one.ids for one in flat], _SCHEMA.field("answer_ids").type),
                        pa.array([len(a) + len(b.ids) for a, b in zip(own, flat, strict=True)], pa.int32()),
                        pa.array([one.num_given if scored else 0 for one in flat], pa.int32()),
                        pa.array(num_rows + places),
                        hashes_of(table.column("example_id")).take(pa.array(places)),
                    ],
                    schema=_SCHEMA,
                )
                num_rows += len(answered)


class _Answer(NamedTuple):
    """Tokens of an answer, none where there is no answer, and how many of them are not the end put to it."""

    ids: list[int]
    num_given: int


_NONE = _Answer([], 0)


def _answers(table: pa.Table, tokenizer: Any, answers: Answers) -> list[list[_Answer]]:
    """The answers of some rows: one a row, or as many as it has texts of the teacher, one at least."""
    given = table.column(_COLUMNS[answers][0]).to_pylist()
    end = tokenizer.eos_token_id
    if answers is Answers.REFERENCE:
        return _of_texts(tokenizer, [[one] for one in given], [None] * len(given))
    reasons = table.column("finish_reason").to_pylist()
    if answers is Answers.TEACHER_TEXT:
        # A text of nothing teaches to say nothing; one by mistake is likelier.
        texts = [[one if one.strip() else None for one in several or ()] or [None] for several in given]
        return _of_texts(tokenizer, texts, reasons)
    # Of several samples the first was scored.
    most = num_ids(tokenizer)
    return [
        [_NONE if not ids or max(ids) >= most else _ended(ids, end, (reason or "").partition(",")[0])]
        for ids, reason in zip(given, reasons, strict=True)
    ]


def _of_texts(
    tokenizer: Any, texts: list[list[str | None]], reasons: list[str | None]
) -> list[list[_Answer]]:
    found = iter(answer_ids(tokenizer, [one for several in texts for one in several if one is not None]))
    return [
        [
            _NONE if one is None else _ended(next(found), tokenizer.eos_token_id, why)
            for one, why in zip(several, reasons_of(reason, len(several)), strict=True)
        ]
        for several, reason in zip(texts, reasons, strict=True)
    ]


def _ended(ids: list[int], end: int | None, reason: str | None) -> _Answer:
    """The answer with its end, unless it was cut short or has one."""
    if end is None or reason == "length" or (ids and ids[-1] == end):
        return _Answer(ids, len(ids))
    return _Answer([*ids, end], len(ids))
