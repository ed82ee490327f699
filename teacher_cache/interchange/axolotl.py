"""axolotl's distillation data, made into tokens beforehand.

A row has `input_ids`, `attention_mask`, `labels` (-100 over the prompt) and, for each position p of those,
three lists as long as its entries: `target_token_ids`, `target_logprobs` (nats, summing to one over the
entries) and `target_mask` (1 where an entry counts). Entry lists of position p are what the teacher thought
before token p + 1: the loss takes the student's hidden state of position p beside row p, and shifts the
labels alone. A position without entries has empty lists; the collator pads them, with mask 0.

A dataset that has the first three columns is taken as made into tokens already, and other columns are
dropped before the collator, so `example_id` and `prompt` stand beside them.

Source: axolotl 0.19.0 (PyPI): integrations/kd/{collator,trainer,chat_template,kernels/liger}.py,
utils/data/wrappers.py.

Letters: P tokens of the prompt, T of the answer, N entries of all tokens together.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.answer import Answer
from schemas.errors import SourceError
from schemas.rows import Row
from schemas.topk import TopK, rescale, tail_of
from teacher_cache.interchange.foreign import ForeignRow, check_ids, checked_top, chosen_logprobs
from teacher_cache.interchange.sequences import SequenceReader
from teacher_cache.interchange.source import ExportSource
from teacher_cache.interchange.spans import one_span
from teacher_cache.interchange.tables import read_rows
from teacher_cache.interchange.vocabulary import Vocabulary

IGNORED = -100
# Below this no float32 sum tells a tail from rounding.
_LEAST_TAIL = np.float32(np.log(1e-5))

SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("prompt", pa.string()),
        ("input_ids", pa.list_(pa.int32())),
        ("attention_mask", pa.list_(pa.int8())),
        ("labels", pa.list_(pa.int32())),
        ("target_token_ids", pa.list_(pa.list_(pa.int32()))),
        ("target_logprobs", pa.list_(pa.list_(pa.float32()))),
        ("target_mask", pa.list_(pa.list_(pa.int8()))),
    ]
)
_NEEDED = ("input_ids", "target_token_ids", "target_logprobs", "target_mask")


class AxolotlExporter:
    """Writes rows as axolotl's trainer takes them."""

    def __init__(self, source: ExportSource) -> None:
        self._reader = SequenceReader(source)

    def record(self, row: Row) -> dict[str, Any]:
        """A row by column.

        Raises:
            LeftOut: it has no tokens.
        """
        sequence = self._reader.read(row)
        before, after = [[]] * (sequence.num_prompt - 1), [[]]
        top = rescale(sequence.top, np.full(sequence.top.num_tokens, -np.inf))
        ends_T = np.cumsum(top.counts)[:-1].astype(np.int64)
        ids, logprobs = (
            [*before, *(part.tolist() for part in np.split(values, ends_T)), *after]
            for values in (top.ids, top.logprobs)
        )
        prompt_labels = [IGNORED] * sequence.num_prompt
        return {
            "example_id": row.example.id,
            "prompt": row.prompt,
            "input_ids": sequence.ids,
            "attention_mask": [1] * len(sequence.ids),
            "labels": [*prompt_labels, *sequence.ids[sequence.num_prompt :]],
            "target_token_ids": ids,
            "target_logprobs": logprobs,
            "target_mask": [[1] * len(entries) for entries in ids],
        }

    def files(self, splits: list[str]) -> dict[str, str]:
        """How it is used."""
        from teacher_cache.interchange.cards import axolotl_card

        return {"README.md": axolotl_card(splits)}


def read_axolotl(path: Path, vocabulary: Vocabulary | None) -> Iterator[ForeignRow]:
    """Rows of one Parquet file.

    Raises:
        SourceError: it cannot be read, or a row is not as it should be.
    """
    assert vocabulary is not None, "checked before"
    for place, row in read_rows(path, _NEEDED, "axolotl"):
        yield _foreign(place, row, vocabulary)


def _foreign(place: str, row: dict[str, Any], vocabulary: Vocabulary) -> ForeignRow:
    ids = check_ids(place, row["input_ids"], vocabulary.size)
    entries = [row[name] for name in _NEEDED[1:]]
    _check_lengths(place, len(ids), entries)
    kept = [
        [(i, value) for i, value, counts in zip(*of_position, strict=True) if counts]
        for of_position in zip(*entries, strict=True)
    ]
    start, stop = one_span(place, [bool(of_position) for of_position in kept], len(ids))
    flat = [pair for of_position in kept[start:stop] for pair in of_position]
    counts = [len(of_position) for of_position in kept[start:stop]]
    top = checked_top(place, [i for i, _ in flat], [value for _, value in flat], counts, vocabulary.size)
    token_ids = ids[start + 1 : stop + 1]
    return ForeignRow(
        place=place,
        id=row.get("example_id"),
        prompt=row.get("prompt") or vocabulary.text(ids[: start + 1].tolist()),
        answer=Answer(
            texts=_texts(vocabulary, token_ids.tolist()),
            token_ids=token_ids,
            token_logprobs=chosen_logprobs(top, token_ids),
        ),
        top=top,
        tail=_tail(top),
    )


def _check_lengths(place: str, num_tokens: int, entries: list[list[list[Any]]]) -> None:
    for name, column in zip(_NEEDED[1:], entries, strict=True):
        if len(column) != num_tokens:
            raise SourceError(
                f"{place}: {len(column)} positions of {name} for {num_tokens} input_ids; give one for each"
            )
    for position, of_position in enumerate(zip(*entries, strict=True)):
        if len({len(one) for one in of_position}) > 1:
            raise SourceError(
                f"{place}: position {position} has {len(of_position[0])} ids, {len(of_position[1])} "
                f"log-probabilities and a mask of {len(of_position[2])}; make them equal"
            )


def _texts(vocabulary: Vocabulary, ids: list[int]) -> tuple[str, ...] | None:
    text = vocabulary.text(ids)
    return None if text is None else (text,)


def _tail(top: TopK) -> Any:
    tail_T = tail_of(top)
    tail_T[tail_T < _LEAST_TAIL] = -np.inf
    return tail_T
