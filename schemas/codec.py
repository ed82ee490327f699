"""Top-k log-probabilities to bytes and back: the columns `topk_ids` and `topk_logprobs`.

A blob holds one row of a shard. Its bytes and the vocabulary's size are all that decoding needs; the byte
layout is in docs/shard-format.md. Both ways are vectorised: no Python loop runs over tokens or entries.

Letters: T tokens, N entries of all tokens together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.bits import lanes_bytes, pack_ids, pack_lanes, packed_bytes, unpack_ids, unpack_lanes
from schemas.errors import ConfigError, ShapeError, ShardError
from schemas.topk import TopK, share_of_draws

MAX_VOCAB_SIZE = 1 << 24
STEP_NATS = 0.125
LOWEST_PACKED = -255 * STEP_NATS

_COUNT_TYPES = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4")}
_AGAIN = "run teacher-shards verify, and restore the shard from a copy"


class Codec(Protocol):
    """One way of writing entries to two blobs."""

    @property
    def name(self) -> str:
        """As in the shard's metadata."""
        ...

    def encode(self, top: TopK) -> tuple[bytes, bytes]:
        """Entries to the blobs `topk_ids` and `topk_logprobs`.

        Raises:
            ConfigError: the codec cannot hold such entries.
            ShapeError: the arrays do not fit each other or the vocabulary.
        """
        ...

    def decode(self, ids: bytes, logprobs: bytes, vocab_size: int) -> TopK:
        """Blobs to entries.

        Raises:
            ShardError: a blob is cut short, too long, of another codec, or of a larger vocabulary.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Numbers:
    """How N numbers are written: how many bytes they take, there and back."""

    num_bytes: Callable[[int], int]
    pack: Callable[[NDArray[Any]], bytes]
    unpack: Callable[[bytes | memoryview, int], NDArray[Any]]


def _plain(stored: str, decoded: type[np.generic]) -> _Numbers:
    dtype = np.dtype(stored)

    def pack(values_N: NDArray[Any]) -> bytes:
        with np.errstate(over="ignore"):  # below the lowest float16 a probability is zero by any measure
            return values_N.astype(dtype).tobytes()

    def unpack(data: bytes | memoryview, num: int) -> NDArray[Any]:
        return np.frombuffer(data, dtype, num).astype(decoded)

    return _Numbers(lambda num: num * dtype.itemsize, pack, unpack)


def _pack_steps(logprobs_N: NDArray[np.float32]) -> bytes:
    return pack_lanes(np.rint(np.clip(logprobs_N / -STEP_NATS, 0, 255)).astype(np.uint8))


def _unpack_steps(data: bytes | memoryview, num: int) -> NDArray[np.float32]:
    return unpack_lanes(data, num, -STEP_NATS)


_STEPS = _Numbers(lanes_bytes, _pack_steps, _unpack_steps)
_DRAWS = _plain("<u1", np.uint8)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A codec as data: `magic` opens its `topk_ids`; `bits` gives an id's width by the vocabulary's size."""

    name: str
    magic: bytes
    values: _Numbers
    bits: Callable[[int], int]
    holds_draws: bool = False
    holds_everything: bool = True

    def encode(self, top: TopK) -> tuple[bytes, bytes]:
        bits = self.bits(top.vocab_size)
        _check(top)
        self._check_fit(top)
        values_N = top.logprobs if top.draws is None else top.draws
        ids = self.magic + _pack_counts(top.counts) + pack_ids(top.ids, bits)
        return ids, self.values.pack(values_N)

    def _check_fit(self, top: TopK) -> None:
        if self.holds_draws != (top.draws is not None):
            held, found = (
                ("draws", "log-probabilities") if self.holds_draws else ("log-probabilities", "draws")
            )
            raise ConfigError(
                f"codec {self.name} holds {held}, found {found}; choose a codec that holds them"
            )
        if not self.holds_everything and top.counts.max(initial=0) >= top.vocab_size:
            raise ConfigError(
                f"codec {self.name} refuses a full vocabulary ({top.vocab_size} entries a token): "
                "give a lower --top-k, or --codec half"
            )

    def decode(self, ids: bytes, logprobs: bytes, vocab_size: int) -> TopK:
        if ids[:1] != self.magic:
            raise ShardError(
                f"topk_ids: first byte {ids[:1]!r}, codec {self.name} writes {self.magic!r}; {_AGAIN}"
            )
        counts_T, start = read_counts(ids, most_tokens=len(logprobs))
        num, bits = int(counts_T.sum(dtype=np.int64)), self.bits(vocab_size)
        _check_length("topk_ids", len(ids), start + packed_bytes(num, bits), num)
        _check_length("topk_logprobs", len(logprobs), self.values.num_bytes(num), num)
        ids_N = unpack_ids(memoryview(ids)[start:], num, bits)
        _check_range(ids_N, vocab_size)
        values_N = self.values.unpack(logprobs, num)
        if not self.holds_draws:
            return TopK(ids_N, values_N, counts_T, vocab_size)
        if not values_N.all():
            raise ShardError(f"topk_logprobs: an entry with no draws, codec {self.name} has none; {_AGAIN}")
        return TopK(ids_N, share_of_draws(values_N, counts_T), counts_T, vocab_size, values_N)


def bits_of(vocab_size: int) -> int:
    """Fewest whole bits for an id of the vocabulary; none where there is one id.

    Raises:
        ConfigError: the vocabulary is empty or larger than 2^24.
    """
    if not 1 <= vocab_size <= MAX_VOCAB_SIZE:
        raise ConfigError(f"vocabulary of {vocab_size}; codecs hold 1 to {MAX_VOCAB_SIZE}")
    return (vocab_size - 1).bit_length()


def _bits_of_int32(vocab_size: int) -> int:
    bits_of(vocab_size)
    return 32


CODECS: dict[str, Codec] = {
    "exact": _Layout("exact", b"E", _plain("<f4", np.float32), _bits_of_int32),
    "half": _Layout("half", b"H", _plain("<f2", np.float32), _bits_of_int32),
    "packed": _Layout("packed", b"P", _STEPS, bits_of, holds_everything=False),
    "sampled": _Layout("sampled", b"S", _DRAWS, bits_of, holds_draws=True),
}


def count_clamped(top: TopK) -> int:
    """Entries that `packed` writes as its lowest value, where it cannot tell one from another any more.

    The same before and after: those that round to -31.875 nats and all below it.
    """
    return int(np.count_nonzero(top.logprobs < LOWEST_PACKED + STEP_NATS / 2))


def _pack_counts(counts_T: NDArray[np.uint32]) -> bytes:
    most, tokens = int(counts_T.max(initial=0)), len(counts_T).to_bytes(4, "little")
    # A constant of zero is written out: a few damaged bytes must not ask a reader for gigabytes of zeros.
    if most and (counts_T == most).all():
        return b"\0" + tokens + most.to_bytes(4, "little")
    width = next(width for width in _COUNT_TYPES if most < 1 << 8 * width)
    return bytes([width]) + tokens + counts_T.astype(_COUNT_TYPES[width]).tobytes()


def read_counts(ids: bytes, most_tokens: int) -> tuple[NDArray[np.uint32], int]:
    """Read the header of a blob `topk_ids`, but for the codec's letter.

    Args:
        ids: the blob.
        most_tokens: how many tokens of a constant, not empty number of entries there can be.

    Returns:
        Entries of each token, (T,), and the byte at which the ids' planes begin.

    Raises:
        ShardError: it is cut short, or says what cannot be.
    """
    width, tokens = ids[1:2], int.from_bytes(ids[2:6], "little")
    constant = width == b"\0"
    if not constant and (not width or width[0] not in _COUNT_TYPES):
        raise ShardError(f"topk_ids: counts of width {width!r}, wanted 0, 1, 2 or 4; {_AGAIN}")
    end = 10 if constant else 6 + tokens * width[0]
    if len(ids) < end:
        raise ShardError(f"topk_ids: {len(ids)} bytes, its header needs {end}; {_AGAIN}")
    if not constant:
        return np.frombuffer(ids, _COUNT_TYPES[width[0]], tokens, 6).astype(np.uint32), end
    each = int.from_bytes(ids[6:10], "little")
    if not each or tokens > most_tokens:  # an entry has at least a byte in the other blob
        raise ShardError(
            f"topk_ids: {tokens} tokens of {each} entries, topk_logprobs has {most_tokens} bytes; {_AGAIN}"
        )
    return np.full(tokens, each, np.uint32), end


def _check(top: TopK) -> None:
    num = int(top.counts.sum(dtype=np.int64))
    lengths = {"ids": len(top.ids), "logprobs": len(top.logprobs)}
    if top.draws is not None:
        lengths["draws"] = len(top.draws)
    for name, length in lengths.items():
        if length != num:
            raise ShapeError(f"{length} {name} for counts that sum to {num}; give one for each entry")
    if num and not 0 <= top.ids.min() <= top.ids.max() < top.vocab_size:
        raise ShapeError(f"token ids {top.ids.min()} to {top.ids.max()} for a vocabulary of {top.vocab_size}")
    if np.isnan(top.logprobs).any():
        raise ShapeError("a log-probability is NaN; the row that it came with is an error row")


def _check_length(column: str, found: int, wanted: int, num: int) -> None:
    if found != wanted:
        raise ShardError(f"{column}: {found} bytes, {num} entries need {wanted}; {_AGAIN}")


def _check_range(ids_N: NDArray[np.int32], vocab_size: int) -> None:
    if len(ids_N) and not 0 <= ids_N.min() <= ids_N.max() < vocab_size:
        raise ShardError(
            f"topk_ids: ids from {ids_N.min()} to {ids_N.max()}, the vocabulary has {vocab_size}; {_AGAIN}"
        )
