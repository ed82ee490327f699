"""Rows to Arrow columns and back.

Columns are built from flat buffers and offsets; no Python loop runs over tokens or over the values of a
representation.

Letters: R rows, d width of the representation, T tokens of a row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.answer import Answer, Usage
from schemas.errors import ShardError
from schemas.example import Example, Label, Media
from schemas.shard import MEDIA, PAIRS, USAGE

_ARRAYS = ("teacher_repr", "token_ids", "token_logprobs", "tail_logprob")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a shard: an example, what the teacher was given, what it said (None: it was not asked)."""

    example: Example
    prompt: str
    answer: Answer | None


def encode(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Rows to columns, in the same order.

    Raises:
        ShardError: a representation has another width than the schema.
    """
    examples = [row.example for row in rows]
    answers = [row.answer or Answer() for row in rows]
    columns = [
        pa.array([example.id for example in examples], pa.string()),
        pa.array([example.task for example in examples], pa.string()),
        pa.array([example.split for example in examples], pa.string()),
        _pairs([list(example.fields.items()) for example in examples], PAIRS),
        pa.array([example.label.class_ids for example in examples], pa.list_(pa.int32())),
        pa.array([example.label.value for example in examples], pa.float32()),
        pa.array([example.label.target_text for example in examples], pa.string()),
        pa.array([row.prompt for row in rows], pa.string()),
        _pairs([[(media.path, media.sha256) for media in example.media] for example in examples], MEDIA),
        pa.array([answer.texts for answer in answers], pa.list_(pa.string())),
        _representations(examples, [answer.repr for answer in answers], schema.field("teacher_repr").type),
        _ragged([answer.token_ids for answer in answers], np.dtype(np.int32)),
        _ragged([answer.token_logprobs for answer in answers], np.dtype(np.float32)),
        pa.array([answer.topk_ids for answer in answers], pa.binary()),
        pa.array([answer.topk_logprobs for answer in answers], pa.binary()),
        _ragged([answer.tail_logprob for answer in answers], np.dtype(np.float32)),
        _usages([answer.usage for answer in answers]),
        pa.array([answer.finish_reason for answer in answers], pa.string()),
        pa.array([answer.error for answer in answers], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _offsets(lengths: Iterable[int]) -> pa.Array:
    return pa.array([0, *accumulate(lengths)], pa.int32())


def _pairs(rows: Sequence[Sequence[tuple[str, str]]], kind: pa.ListType) -> pa.Array:
    flat = list(chain.from_iterable(rows))
    structs = pa.StructArray.from_arrays(
        [
            pa.array([left for left, _ in flat], pa.string()),
            pa.array([right for _, right in flat], pa.string()),
        ],
        fields=list(kind.value_type),
    )
    return pa.ListArray.from_arrays(_offsets(map(len, rows)), structs, type=kind)


def _ragged(rows: Sequence[NDArray[np.generic] | None], dtype: np.dtype[np.generic]) -> pa.Array:
    present = [row.astype(dtype, copy=False) for row in rows if row is not None]
    values = pa.array(np.concatenate(present) if present else np.empty(0, dtype))
    missing = pa.array([row is None for row in rows], pa.bool_())
    return pa.ListArray.from_arrays(
        _offsets(0 if row is None else len(row) for row in rows), values, mask=missing
    )


def _representations(
    examples: Sequence[Example], rows: Sequence[NDArray[np.floating] | None], kind: pa.DataType
) -> pa.Array:
    if not isinstance(kind, pa.FixedSizeListType):
        return pa.nulls(len(rows))
    for example, row in zip(examples, rows, strict=True):
        if row is not None and row.shape != (kind.list_size,):
            raise ShardError(
                f"example {example.id}: a representation of shape {row.shape}, its cache holds "
                f"({kind.list_size},); the teacher's declared width is wrong"
            )
    values_Rd = np.zeros((len(rows), kind.list_size), kind.value_type.to_pandas_dtype())
    for index, row in enumerate(rows):
        if row is not None:
            values_Rd[index] = row
    missing = pa.array([row is None for row in rows], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(pa.array(values_Rd.reshape(-1)), type=kind, mask=missing)


def _usages(rows: Sequence[Usage | None]) -> pa.Array:
    return pa.array(
        [
            None
            if row is None
            else {"prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens}
            for row in rows
        ],
        USAGE,
    )


def decode(table: pa.Table | pa.RecordBatch) -> list[Row]:
    """Columns to rows; arrays stay numpy views. For reuse and inspection, not for the training path."""
    columns = {
        name: _row_arrays(table.column(name)) if name in _ARRAYS else table.column(name).to_pylist()
        for name in table.schema.names
    }
    return [_row({name: column[i] for name, column in columns.items()}) for i in range(table.num_rows)]


def _row_arrays(column: pa.ChunkedArray | pa.Array) -> list[NDArray[np.generic] | None]:
    if pa.types.is_null(column.type):
        return [None] * len(column)
    return [scalar.values.to_numpy(zero_copy_only=False) if scalar.is_valid else None for scalar in column]


def _row(plain: dict[str, Any]) -> Row:
    usage = plain["usage"]
    answer = Answer(
        texts=None if plain["teacher_text"] is None else tuple(plain["teacher_text"]),
        repr=plain["teacher_repr"],
        token_ids=plain["token_ids"],
        token_logprobs=plain["token_logprobs"],
        topk_ids=plain["topk_ids"],
        topk_logprobs=plain["topk_logprobs"],
        tail_logprob=plain["tail_logprob"],
        usage=None if usage is None else Usage(usage["prompt_tokens"], usage["completion_tokens"]),
        finish_reason=plain["finish_reason"],
        error=plain["error"],
    )
    example = Example(
        id=plain["example_id"],
        task=plain["task"],
        split=plain["split"],
        fields={pair["name"]: pair["text"] for pair in plain["fields"]},
        label=Label(
            class_ids=tuple(plain["class_ids"]), value=plain["value"], target_text=plain["target_text"]
        ),
        media=tuple(Media(item["path"], item["sha256"]) for item in plain["media"]),
    )
    return Row(example, plain["prompt"], None if answer.is_empty else answer)


def representations(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The representation column as one array, without copying where it is one chunk.

    Returns:
        Values (R, d), meaningless where absent, and a mask (R,) that is true where a row has one.
    """
    array = column
    if isinstance(column, pa.ChunkedArray):
        # Joining copies, one chunk too.
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    width = array.type.list_size
    span = slice(array.offset * width, (array.offset + len(array)) * width)
    values = array.values.to_numpy(zero_copy_only=False)[span]
    return values.reshape(len(array), width), array.is_valid().to_numpy(zero_copy_only=False)
