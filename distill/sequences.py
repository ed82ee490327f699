"""Prompts and answers tokenised once, in a memory-mapped Arrow file: a record batch a row group.

Letters: R rows of the split.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from distill.methods import Answers
from distill.ragged import Ragged
from distill.tokens import cache_folder, hashes_of, kept, settings_of
from distill.wording import Wording, answer_ids
from schemas.cache import TeacherCache
from schemas.files import whole_file
from schemas.manifest import digest_of

_LAYOUT = 1
_LISTS = ("prompt_ids", "answer_ids")
_SCHEMA = pa.schema(
    [
        *((name, pa.list_(pa.int32())) for name in _LISTS),
        ("num_taught", pa.int32()),
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
    """

    def __init__(self, path: Path) -> None:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        self.prompts, self.answers = (Ragged([batch.column(name) for batch in batches]) for name in _LISTS)
        self.num_taught_R: NDArray[np.int32] = _joined(batches, "num_taught")
        self.id_hashes: NDArray[np.uint64] = _joined(batches, "id_hash")

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
                ids, num_taught = _answers(table, tokenizer, answers)
                prompts = wording.prompts(tokenizer, table.column("prompt").to_pylist())
                yield pa.RecordBatch.from_arrays(
                    [
                        pa.array(prompts, _SCHEMA.field("prompt_ids").type),
                        pa.array(ids, _SCHEMA.field("answer_ids").type),
                        pa.array(num_taught, pa.int32()),
                        hashes_of(table.column("example_id")),
                    ],
                    schema=_SCHEMA,
                )


def _answers(table: pa.Table, tokenizer: Any, answers: Answers) -> tuple[list[list[int]], list[int]]:
    """Answers of some rows, and how many tokens of each the teacher scored."""
    given = table.column(_COLUMNS[answers][0])
    if answers is Answers.TEACHER_TEXT:
        # Of several samples the first: log-probabilities are those of the first, too.
        given = pc.list_element(_with_one(given), 0)  # pyright: ignore[reportAttributeAccessIssue]
    values = given.to_pylist()
    taught = answers is Answers.TEACHER_TOKENS
    found = iter(values if taught else answer_ids(tokenizer, [one for one in values if one is not None]))
    ids = [None if value is None else (value if taught else next(found)) for value in values]
    if answers is Answers.REFERENCE:
        reasons: list[str | None] = [None] * len(ids)
    else:
        reasons = table.column("finish_reason").to_pylist()
    ended = [
        [] if one is None else _ended(one, tokenizer.eos_token_id, reason)
        for one, reason in zip(ids, reasons, strict=True)
    ]
    return ended, [len(one) if taught and one is not None else 0 for one in ids]


def _with_one(lists: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null in place of a list of no text."""
    some = pc.greater(pc.list_value_length(lists), 0)  # pyright: ignore[reportAttributeAccessIssue]
    return pc.if_else(some, lists, pa.scalar(None, lists.type))  # pyright: ignore[reportAttributeAccessIssue]


def _ended(ids: list[int], end: int | None, reason: str | None) -> list[int]:
    """The answer with its end, unless it was cut short or has one."""
    if end is None or reason == "length" or (ids and ids[-1] == end):
        return ids
    return [*ids, end]
