"""Prompts and answers tokenised once, in a memory-mapped Arrow file: a record batch a row group.

Letters: S rows of the split, R rows of the file: one a row of the split, but as many as it has texts of the
teacher, one at least, where those are learnt.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distill.methods import Answers
from distill.ragged import Ragged
from distill.tokens import hashes_of, kept, settings_of
from distill.vocabulary import num_ids
from distill.wording import Wording, answer_ids
from schemas.answer import reasons_of
from schemas.cache import TeacherCache
from schemas.files import cache_folder, whole_file
from schemas.manifest import digest_of

_LAYOUT = 3
_LISTS = ("prompt_ids", "answer_ids")
_SCHEMA = pa.schema(
    [
        *((name, pa.list_(pa.int32())) for name in _LISTS),
        ("num_taught", pa.int32()),
        ("place", pa.int32()),
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
        path: of the Arrow file.

    Attributes:
        prompts: of each row.
        answers: of each row, the end of the text last where the answer is whole; empty where there is none.
        num_taught_R: tokens of the answer, from its first, that the teacher scored.
        id_hashes: of each row's example id.
        rows_R: of the split.
        group_starts: first row of each row group of the split, and the number of rows.
        firsts_S: of each row of the split its first here.
    """

    def __init__(self, path: Path) -> None:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        self.prompts, self.answers = (Ragged([batch.column(name) for batch in batches]) for name in _LISTS)
        self.num_taught_R: NDArray[np.int32] = _joined(batches, "num_taught")
        self.id_hashes: NDArray[np.uint64] = _joined(batches, "id_hash")
        self.group_starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        starts_new_R = np.diff(_joined(batches, "place"), prepend=-1) != 0
        for start in self.group_starts[:-1]:
            starts_new_R[start : start + 1] = True
        self.rows_R: NDArray[np.int64] = np.cumsum(starts_new_R) - 1
        self.firsts_S: NDArray[np.int64] = np.flatnonzero(starts_new_R)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Tokens of prompt and answer, (R,)."""
        return self.prompts.lengths + self.answers.lengths


def _joined(batches: list[pa.RecordBatch], name: str) -> NDArray[Any]:
    return np.concatenate([batch.column(name).to_numpy() for batch in batches])


def sequences_of(
    cache: TeacherCache, split: str, tokenizer: Any, wording: Wording, answers: Answers
) -> Sequences:
    """Open the file of a split's sequences, and make it first where there is none.

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
    path = cache_folder() / "sequences" / f"{key[:32]}.arrow"

    def make() -> None:
        with (
            whole_file(path) as temporary,
            pa.OSFile(str(temporary), "wb") as file,
            pa.ipc.new_file(file, _SCHEMA) as writer,
        ):
            for batch in _batches(cache, split, tokenizer, wording, answers):
                writer.write_batch(batch)

    return kept(path, Sequences, make)


def _batches(
    cache: TeacherCache, split: str, tokenizer: Any, wording: Wording, answers: Answers
) -> Iterator[pa.RecordBatch]:
    columns = ["example_id", "prompt", *_COLUMNS[answers]]
    for _, shard in cache.shards(split):
        with shard:
            for group in range(shard.num_row_groups):
                table = shard.read_row_group(group, columns=columns)
                answered = _answers(table, tokenizer, answers)
                places = [place for place, given in enumerate(answered) for _ in given]
                prompts = wording.prompts(tokenizer, table.column("prompt").to_pylist())
                flat = [one for given in answered for one in given]
                scored = answers is Answers.TEACHER_TOKENS
                yield pa.RecordBatch.from_arrays(
                    [
                        pa.array([prompts[place] for place in places], _SCHEMA.field("prompt_ids").type),
                        pa.array([one.ids for one in flat], _SCHEMA.field("answer_ids").type),
                        pa.array([one.num_given if scored else 0 for one in flat], pa.int32()),
                        pa.array(places, pa.int32()),
                        hashes_of(table.column("example_id")).take(pa.array(places, pa.int64())),
                    ],
                    schema=_SCHEMA,
                )


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
