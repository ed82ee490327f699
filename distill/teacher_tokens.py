"""What the teacher said of many scored tokens, on the device that trains.

The shards' binary columns become tensors in two steps. `gather_tokens` runs on the host, in a loading thread
if there is one: it reads the headers and lays the bytes of all rows side by side, and unpacks nothing.
`unpack` runs where the bytes are sent. A cache's bytes are verified when it is opened; here no more is
checked than keeps every read inside them.

Letters: R rows, N tokens of all rows together, K most entries of a token, M entries of all tokens together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.sending import sent
from distill.unpacking import lane_bytes, plane_bytes, planes_of, unpack_lanes, unpack_plane
from schemas.codec import STEP_NATS, bits_of, read_counts
from schemas.errors import ShardError

_AGAIN = "run teacher-shards verify, and restore the shard from a copy"
_LETTERS = {b"E": "exact", b"H": "half", b"P": "packed", b"S": "sampled"}
_VALUE_BYTES = {"exact": 4, "half": 2, "sampled": 1}


@dataclass(frozen=True, slots=True)
class TeacherTokens:
    """Entries of N tokens, padded to the most that a token has.

    Attributes:
        ids_NK: token ids, most probable first, int32, (N, K); 0 where padded.
        logprobs_NK: nats, float32, (N, K), as the codec decodes them; of drawn entries, log of their share
            of the token's draws; -inf where padded.
        counts_N: entries of each token, int32, (N,).
        tail_N: log of the mass outside the entries, nats, float32, (N,); None for drawn entries.
        vocab_size: V of the teacher.
    """

    ids_NK: Tensor
    logprobs_NK: Tensor
    counts_N: Tensor
    tail_N: Tensor | None
    vocab_size: int

    def __len__(self) -> int:
        """N."""
        return len(self.counts_N)

    def at(self, where: slice | Tensor) -> "TeacherTokens":
        """Some of the tokens, by a slice or their indices."""
        tail_N = None if self.tail_N is None else self.tail_N[where]
        return TeacherTokens(
            self.ids_NK[where], self.logprobs_NK[where], self.counts_N[where], tail_N, self.vocab_size
        )


@dataclass(frozen=True, slots=True)
class EncodedTokens:
    """The same on the host, not yet unpacked: one stretch of bytes, so that one copy sends all.

    Attributes:
        codec: of all rows.
        vocab_size: V.
        num_R: entries of each row.
        most: K.
        constant: whether every token has K entries.
        data: parts, each aligned to eight bytes, uint8.
        parts: first and last byte of each part: the planes of the ids, values, counts, tails.
    """

    codec: str
    vocab_size: int
    num_R: tuple[int, ...]
    most: int
    constant: bool
    data: Tensor
    parts: tuple[tuple[int, int], ...]


def gather_tokens(
    topk_ids: Sequence[bytes],
    topk_logprobs: Sequence[bytes],
    tails: Sequence[NDArray[np.float32]] | None,
    vocab_size: int,
) -> EncodedTokens:
    """Lay the blobs of R rows side by side, part by part.

    Args:
        topk_ids: the column's values, of rows that have one.
        topk_logprobs: the same.
        tails: `tail_logprob` of each row, nats, (T,); None for the codec `sampled`.
        vocab_size: of the teacher, from the manifest.

    Raises:
        ConfigError: no codec holds such a vocabulary.
        ShardError: a blob has another length than its header says, or the rows have several codecs.
    """
    codec = _codec_of(topk_ids)
    headers = [read_counts(ids, len(values)) for ids, values in zip(topk_ids, topk_logprobs, strict=True)]
    counts_N = np.concatenate([counts for counts, _ in headers] or [np.empty(0, np.uint32)]).astype(np.int32)
    num_R = tuple(int(counts.sum(dtype=np.int64)) for counts, _ in headers)
    columns: list[Sequence[bytes | memoryview]] = [
        *_cut_planes(topk_ids, [start for _, start in headers], num_R, _bits(codec, vocab_size))
    ]
    columns.append(_cut_values(topk_logprobs, num_R, codec))
    columns.append([counts_N.tobytes()])
    if tails is not None:
        columns.append([tail_T.astype("<f4", copy=False).tobytes() for tail_T in tails])
        _check_length("tail_logprob", sum(map(len, columns[-1])), 4 * len(counts_N))
    data, parts = _side_by_side(columns)
    most = int(counts_N.max(initial=0))
    constant = bool((counts_N == most).all())
    return EncodedTokens(codec, vocab_size, num_R, most, constant, data, parts)


def _codec_of(topk_ids: Sequence[bytes]) -> str:
    letters = {bytes(ids[:1]) for ids in topk_ids} or {b"E"}
    if len(letters) > 1 or not letters <= set(_LETTERS):
        raise ShardError(f"topk_ids: first bytes {sorted(letters)}, one codec's letter is wanted; {_AGAIN}")
    return _LETTERS[letters.pop()]


def _bits(codec: str, vocab_size: int) -> int:
    bits = bits_of(vocab_size)
    return bits if codec in ("packed", "sampled") else 32


def _cut_planes(
    blobs: Sequence[bytes], starts: Sequence[int], num_R: Sequence[int], bits: int
) -> list[list[memoryview]]:
    planes: list[list[memoryview]] = [[] for _ in planes_of(bits)]
    for blob, start, num in zip(blobs, starts, num_R, strict=True):
        view, begin = memoryview(blob), start
        for plane, (_, width) in zip(planes, planes_of(bits), strict=True):
            plane.append(view[begin : begin + plane_bytes(num, width)])
            begin += plane_bytes(num, width)
        _check_length("topk_ids", len(blob), begin)
    return planes


def _cut_values(blobs: Sequence[bytes], num_R: Sequence[int], codec: str) -> list[memoryview]:
    for blob, num in zip(blobs, num_R, strict=True):
        _check_length(
            "topk_logprobs", len(blob), lane_bytes(num) if codec == "packed" else num * _VALUE_BYTES[codec]
        )
    return [memoryview(blob) for blob in blobs]


def _check_length(column: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise ShardError(f"{column}: {found} bytes, its header says {wanted}; {_AGAIN}")


def _side_by_side(
    columns: Sequence[Sequence[bytes | memoryview]],
) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    pieces: list[bytes | memoryview] = []
    parts: list[tuple[int, int]] = []
    begin = 0
    for column in columns:
        end = begin + sum(map(len, column))
        parts.append((begin, end))
        begin = -(-end // 8) * 8
        pieces += [*column, bytes(begin - end)]
    # A spare word, since torch makes no tensor of no bytes.
    return torch.frombuffer(bytearray().join([*pieces, bytes(8)]), dtype=torch.uint8), tuple(parts)


def unpack(encoded: EncodedTokens, device: torch.device) -> TeacherTokens:
    """Send the bytes to the device, and unpack them there.

    Ids and log-probabilities are those of `schemas.codec`, bit for bit. An id beyond the vocabulary, which
    only unverified bytes have, becomes its last one, so that no loss reads outside the student's logits.

    Args:
        encoded: of many rows.
        device: that trains.

    Returns:
        The tokens of the rows, one row after the other.
    """
    data = sent(encoded.data, device)
    parts = [data[begin:end] for begin, end in encoded.parts]
    planes = planes_of(_bits(encoded.codec, encoded.vocab_size))
    ids_M = torch.zeros(sum(encoded.num_R), dtype=torch.int32, device=device)
    for (shift, width), part in zip(planes, parts, strict=False):
        ids_M |= unpack_plane(part, encoded.num_R, shift, width)
    values, counts, *tails = parts[len(planes) :]
    counts_N = counts.view(torch.int32)
    logprobs_M = _logprobs(encoded, values, counts_N)
    return TeacherTokens(
        _padded(encoded, ids_M.clamp_(0, encoded.vocab_size - 1), counts_N, 0),
        _padded(encoded, logprobs_M, counts_N, -torch.inf),
        counts_N,
        tails[0].view(torch.float32) if tails else None,
        encoded.vocab_size,
    )


def _logprobs(encoded: EncodedTokens, values: Tensor, counts_N: Tensor) -> Tensor:
    if encoded.codec == "exact":
        return values.view(torch.float32)
    if encoded.codec == "half":
        return values.view(torch.float16).float()
    if encoded.codec == "packed":
        return unpack_lanes(values, encoded.num_R).float().mul_(-STEP_NATS)
    return _share_of_draws(values, counts_N)


def _share_of_draws(draws_M: Tensor, counts_N: Tensor) -> Tensor:
    """Log of each entry's share of its token's draws, nats, float32, (M,)."""
    sums = torch.cat([counts_N.new_zeros(1, dtype=torch.int64), draws_M.cumsum(0, dtype=torch.int64)])
    ends_N = counts_N.cumsum(0)
    totals_N = sums[ends_N] - sums[ends_N - counts_N]
    totals_M = totals_N.repeat_interleave(counts_N, output_size=len(draws_M))
    return (draws_M.double() / totals_M).log().float()


def _padded(encoded: EncodedTokens, values_M: Tensor, counts_N: Tensor, fill: float) -> Tensor:
    shape = len(counts_N), encoded.most
    if encoded.constant:
        return values_M.view(shape)
    # Windows of K from each token's first entry on, the neighbours' part covered: cheaper than a scatter.
    windows = torch.cat([values_M, values_M.new_zeros(encoded.most)]).unfold(0, encoded.most, 1)
    kept_NK = torch.arange(encoded.most, device=values_M.device) < counts_N[:, None]
    return torch.where(kept_NK, windows.index_select(0, counts_N.cumsum(0) - counts_N), fill)
