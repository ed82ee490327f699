"""DistillKit's offline data: a folder of Parquet files and `compression_config.yaml`.

A row has `input_ids`, and for each position p the bytes of its entries (`compressed_logprobs`,
`bytepacked_indices`): what the teacher thought before token p + 1. Its capture leaves out the last
position; its trainer wants one for each token, rows of one length (`prepacked: true`), and takes position p
where `labels` of p, not of p + 1, is at least 0. So an export pads, and has labels over the positions whose
entries are the teacher's: from the prompt's last token to the answer's last but one. The answer's last
token is learnt from its entries alone.

Its collator makes a tensor of every column, so no text can stand in a row: `example_key` is a number made
of the id, and `prompts.jsonl` has the ids. Every token has k entries; where the teacher's are fewer, others
follow at -100 nats: -inf would make NaN of its losses.

Source: github.com/arcee-ai/DistillKit, 1.0.0: sample_common.py, sample_logits_vllm.py, main.py, trainer.py,
lossfuncs/{common,kl}.py, signals/offline.py.

Letters: P tokens of the prompt, T of the answer, K entries a token, L tokens of every row.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.answer import Answer
from schemas.errors import SourceError
from schemas.rows import Row
from schemas.topk import TopK, tail_of
from teacher_cache.interchange import distillkit_layout as layout
from teacher_cache.interchange.foreign import ForeignRow, check_ids, checked_top, chosen_logprobs
from teacher_cache.interchange.keys import key_of
from teacher_cache.interchange.sequences import SequenceReader
from teacher_cache.interchange.source import ExportSource, LeftOut
from teacher_cache.interchange.spans import one_span
from teacher_cache.interchange.tables import read_rows
from teacher_cache.interchange.vocabulary import Vocabulary

IGNORED = -100
FILLER = np.float32(-100)
_BYTES = pa.list_(pa.list_(pa.uint8()))
_LOGPROBS, _IDS = "compressed_logprobs", "bytepacked_indices"

SCHEMA = pa.schema(
    [
        ("example_key", pa.int64()),
        ("input_ids", pa.list_(pa.int64())),
        ("attention_mask", pa.list_(pa.int64())),
        ("labels", pa.list_(pa.int64())),
        (_LOGPROBS, _BYTES),
        (_IDS, _BYTES),
    ]
)


class DistillkitExporter:
    """Writes rows as DistillKit's trainer takes them; reads all of them once before, to know their length."""

    def __init__(self, source: ExportSource) -> None:
        self._reader = SequenceReader(source)
        longest, most = self._survey(source)
        self._length, self._asked = source.length or longest, source.length
        self._config = layout.exact_compression(source.cache.manifest.teacher.vocab_size or 2, max(1, most))
        tokenizer = self._reader.tokenizer
        ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self._pad = next(i for i in ids if i is not None)

    def record(self, row: Row) -> dict[str, Any]:
        """A row by column.

        Raises:
            LeftOut: it has no tokens, or too many.
        """
        sequence = self._reader.read(row)
        size = len(sequence.ids)
        if size > self._length:
            raise LeftOut(f"are longer than --length {self._length}")
        ids_TK, logprobs_TK = _filled(sequence.top, self._config.k)
        start, stop = sequence.num_prompt - 1, size - 1
        ids_LK = np.tile(np.arange(self._config.k, dtype=np.int32), (self._length, 1))
        logprobs_LK = np.full(ids_LK.shape, FILLER)
        ids_LK[start:stop], logprobs_LK[start:stop] = ids_TK, logprobs_TK
        input_ids = np.full(self._length, self._pad)
        input_ids[:size] = sequence.ids
        labels = np.full(self._length, IGNORED)
        labels[start:stop] = input_ids[start:stop]
        return {
            "example_key": key_of(row.example.id),
            "input_ids": input_ids,
            "attention_mask": (np.arange(self._length) < size).astype(np.int64),
            "labels": labels,
            _LOGPROBS: list(layout.pack_exact(logprobs_LK)),
            _IDS: list(layout.pack_ids(ids_LK, self._config.id_bits)),
        }

    def files(self, splits: list[str]) -> dict[str, str]:
        """The configuration, and how it is used."""
        from teacher_cache.interchange.cards import distillkit_card

        return {
            layout.CONFIG_NAME: layout.compression_text(self._config),
            "README.md": distillkit_card(splits, self._config.model_dump(), self._length),
        }

    def _survey(self, source: ExportSource) -> tuple[int, int]:
        """Tokens of the longest row, and most entries of a token."""
        longest = most = 0
        for split in source.splits:
            for row in source.rows(split):
                try:
                    sequence = self._reader.read(row)
                except LeftOut:
                    continue
                if source.length is None or len(sequence.ids) <= source.length:
                    longest = max(longest, len(sequence.ids))
                    most = max(most, int(sequence.top.counts.max()))
        return longest, most


def _filled(top: TopK, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Entries as a table, (T, K); where there are fewer, ids that are not among them follow."""
    tokens_N = np.repeat(np.arange(top.num_tokens), top.counts)
    starts_T = np.cumsum(top.counts, dtype=np.int64) - top.counts
    ranks_N = np.arange(top.num_entries) - starts_T[tokens_N]
    low_N = top.ids < k
    taken_TK = np.zeros((top.num_tokens, k), np.bool_)
    taken_TK[tokens_N[low_N], top.ids[low_N]] = True
    # Free ids below k, lowest first: a token with c entries takes at most c of those k.
    free_TK = np.argsort(taken_TK, axis=1, kind="stable").astype(np.int32)
    ids_TK = np.empty((top.num_tokens, k), np.int32)
    empty_TK = np.arange(k) >= top.counts[:, None]
    places_TK = np.clip(np.arange(k) - top.counts[:, None].astype(np.int64), 0, None)
    ids_TK[empty_TK] = np.take_along_axis(free_TK, places_TK, axis=1)[empty_TK]
    logprobs_TK = np.full(ids_TK.shape, FILLER)
    ids_TK[tokens_N, ranks_N] = top.ids
    logprobs_TK[tokens_N, ranks_N] = np.maximum(top.logprobs, FILLER + 1)
    return ids_TK, logprobs_TK


def read_distillkit(path: Path, vocabulary: Vocabulary | None) -> Iterator[ForeignRow]:
    """Rows of one Parquet file, its configuration beside it.

    Raises:
        SourceError: it cannot be read, or a row is not as it should be.
    """
    needed = ("input_ids", _LOGPROBS, _IDS)
    rows = read_rows(path, needed, "distillkit", as_arrays=(_LOGPROBS, _IDS))
    config = None
    for place, row in rows:
        config = config or layout.read_compression(path)
        yield _foreign(place, row, config, vocabulary or Vocabulary(size=config.d))


def _foreign(
    place: str, row: dict[str, Any], config: layout.Compression, vocabulary: Vocabulary
) -> ForeignRow:
    ids = check_ids(place, row["input_ids"], vocabulary.size)
    size = _num_tokens(place, row, len(ids))
    logprobs = _as_bytes(place, _LOGPROBS, row[_LOGPROBS], layout.logprob_bytes(config))
    packed = _as_bytes(place, _IDS, row[_IDS], layout.id_bytes(config))
    if len(logprobs) != len(packed) or len(ids) - len(packed) not in (0, 1):
        raise SourceError(
            f"{place}: {len(ids)} input_ids, {len(logprobs)} positions of {_LOGPROBS} and {len(packed)} of "
            f"{_IDS}; give one for each token, or for each but the last"
        )
    start, stop = one_span(place, _counted(row, size, len(packed)), size)
    top = _entries(place, packed[start:stop], logprobs[start:stop], config, vocabulary.size)
    token_ids = ids[start + 1 : stop + 1]
    text = vocabulary.text(token_ids.tolist())
    return ForeignRow(
        place=place,
        id=row.get("example_id"),
        key=row.get("example_key"),
        prompt=vocabulary.text(ids[: start + 1].tolist()),
        answer=Answer(
            texts=None if text is None else (text,),
            token_ids=token_ids,
            token_logprobs=chosen_logprobs(top, token_ids),
        ),
        top=top,
        tail=tail_of(top),
    )


def _num_tokens(place: str, row: dict[str, Any], num_ids: int) -> int:
    """Tokens that are no padding."""
    mask = np.asarray(row.get("attention_mask") or [1] * num_ids)
    size = int(np.count_nonzero(mask))
    if len(mask) != num_ids or not mask[:size].all():
        raise SourceError(
            f"{place}: an attention_mask of {len(mask)} for {num_ids} input_ids, ones first; make them agree"
        )
    return size


def _counted(row: dict[str, Any], size: int, num_positions: int) -> NDArray[np.bool_]:
    """Positions that DistillKit's trainer takes: where the label of the same position is at least 0."""
    found = np.zeros(num_positions, np.bool_)
    if row.get("labels") is None:
        found[: size - 1] = True
    else:
        labels = np.asarray(row["labels"])[:size]
        found[: len(labels)] = labels[:num_positions] >= 0
    return found


def _as_bytes(place: str, name: str, positions: pa.Array, width: int) -> NDArray[np.uint8]:
    data = positions.flatten().to_numpy(zero_copy_only=False)
    if len(data) != len(positions) * width or set(positions.value_lengths().unique().to_pylist()) - {width}:
        raise SourceError(
            f"{place}: {len(data)} bytes of {name} for {len(positions)} positions, {layout.CONFIG_NAME} says "
            f"{width} a position; give the configuration that the file was made with"
        )
    return data.astype(np.uint8).reshape(len(positions), width)


def _entries(
    place: str,
    packed: NDArray[np.uint8],
    logprobs: NDArray[np.uint8],
    config: layout.Compression,
    vocab_size: int,
) -> TopK:
    ids_TK = layout.unpack_ids(packed, config.id_bits, config.k)
    logprobs_TK = layout.unpack_logprobs(logprobs, config)
    if not config.is_exact:
        # What a polynomial makes of the least probable may pass zero.
        logprobs_TK = np.minimum(logprobs_TK, 0)
    kept_TK = ~(logprobs_TK <= FILLER)
    return checked_top(
        place,
        ids_TK[kept_TK],
        logprobs_TK[kept_TK],
        kept_TK.sum(axis=1),
        vocab_size,
        mass_tolerance=0.02 if config.is_exact else 0.25,
    )
