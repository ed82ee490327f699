"""Codecs: what goes in comes out, from blobs alone, and what is no blob is refused in one line."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import CODECS, LOWEST_PACKED, MAX_VOCAB_SIZE, bits_of, count_clamped
from schemas.errors import ConfigError, ShapeError, ShardError
from schemas.topk import TopK

VOCAB_SIZES = st.sampled_from([1, 2, 3, 255, 256, 257, 49_152, 65_537, 151_936, 262_144, MAX_VOCAB_SIZE])
DENSE = ("exact", "half", "packed")


@st.composite
def tops(draw: st.DrawFn, *, drawn: bool = False, most: int = 70) -> TopK:
    vocab_size = draw(st.one_of(VOCAB_SIZES, st.integers(1, MAX_VOCAB_SIZE)))
    most = min(most, vocab_size - (0 if drawn else 1))
    constant = st.builds(lambda num, each: [each] * num, st.integers(0, 20), st.integers(0, most))
    counts = np.array(draw(st.one_of(st.lists(st.integers(0, most), max_size=20), constant)), np.uint32)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    num = int(counts.sum())
    ids = random.integers(0, vocab_size, num, np.int32)
    logprobs = -random.exponential(draw(st.sampled_from([0.1, 3, 40])), num).astype(np.float32)
    draws = random.integers(1, 256, num, np.uint8) if drawn else None
    return TopK(ids, logprobs, counts, vocab_size, draws)


def there_and_back(name: str, top: TopK) -> TopK:
    return CODECS[name].decode(*CODECS[name].encode(top), top.vocab_size)


def top_of(counts: list[int], vocab_size: int = 49_152) -> TopK:
    num = sum(counts)
    ids = np.arange(num, dtype=np.int32) % vocab_size
    return TopK(ids, -np.arange(num, dtype=np.float32), np.array(counts, np.uint32), vocab_size)


@pytest.mark.parametrize("name", DENSE)
@given(top=tops())
def test_ids_counts_and_order_come_back(name: str, top: TopK) -> None:
    back = there_and_back(name, top)

    np.testing.assert_array_equal(back.ids, top.ids)
    np.testing.assert_array_equal(back.counts, top.counts)
    assert (back.ids.dtype, back.logprobs.dtype, back.counts.dtype) == (np.int32, np.float32, np.uint32)
    assert back.vocab_size == top.vocab_size
    assert back.draws is None


@given(top=tops())
def test_exact_is_exact(top: TopK) -> None:
    np.testing.assert_array_equal(there_and_back("exact", top).logprobs, top.logprobs)


@given(top=tops())
def test_half_is_the_nearest_float16(top: TopK) -> None:
    np.testing.assert_array_equal(there_and_back("half", top).logprobs, top.logprobs.astype(np.float16))


@given(top=tops())
def test_packed_is_within_a_sixteenth_unless_clamped(top: TopK) -> None:
    back = there_and_back("packed", top)
    error = np.abs(back.logprobs - np.maximum(top.logprobs, LOWEST_PACKED))
    assert error.max(initial=0) <= 1 / 16
    assert count_clamped(back) == np.count_nonzero(back.logprobs == LOWEST_PACKED)
    # What lies just between two steps may go either way.
    assert count_clamped(back) == count_clamped(top) or np.any(top.logprobs == -31.8125)


@given(top=tops(drawn=True))
def test_sampled_keeps_draws_and_gives_their_share(top: TopK) -> None:
    back = there_and_back("sampled", top)

    np.testing.assert_array_equal(back.ids, top.ids)
    np.testing.assert_array_equal(back.draws, top.draws)
    assert top.draws is not None
    ends = np.cumsum(top.counts)
    for start, end in zip(ends - top.counts, ends, strict=True):
        share = top.draws[start:end] / top.draws[start:end].sum(dtype=int)
        np.testing.assert_allclose(np.exp(back.logprobs[start:end]), share, rtol=1e-5)


def test_packed_keeps_what_is_impossible_or_above_zero_in_range() -> None:
    top = TopK(np.arange(4, dtype=np.int32), np.float32([1e-7, -0.06, -200, -np.inf]), np.uint32([2, 2]), 5)
    np.testing.assert_array_equal(there_and_back("packed", top).logprobs, [0, 0, -31.875, -31.875])
    assert count_clamped(top) == 2


def test_half_takes_the_lowest_without_a_warning() -> None:
    top = TopK(np.int32([1, 2]), np.float32([-1e6, -np.inf]), np.uint32([2]), 9)
    np.testing.assert_array_equal(there_and_back("half", top).logprobs, [-np.inf, -np.inf])


@pytest.mark.parametrize(
    ("vocab_size", "bits"),
    [(1, 0), (2, 1), (49_152, 16), (65_536, 16), (65_537, 17), (151_936, 18), (1 << 24, 24)],
)
def test_ids_take_the_fewest_whole_bits(vocab_size: int, bits: int) -> None:
    assert bits_of(vocab_size) == bits
    header, num = 10, 8_000
    if vocab_size > 8:
        ids, logprobs = CODECS["packed"].encode(top_of([8] * 1_000, vocab_size))
        assert len(ids) == header + num * bits // 8
        assert len(logprobs) == num


def read_packed(ids: bytes, logprobs: bytes, vocab_size: int) -> list[list[tuple[int, float]]]:
    """The page of docs/shard-format.md in plain Python, one number at a time."""
    assert ids[0:1] == b"P"
    width, num_tokens = ids[1], int.from_bytes(ids[2:6], "little")
    if width == 0:
        counts, at = [int.from_bytes(ids[6:10], "little")] * num_tokens, 10
    else:
        counts = [
            int.from_bytes(ids[6 + width * t : 6 + width * (t + 1)], "little") for t in range(num_tokens)
        ]
        at = 6 + width * num_tokens
    num, shift = sum(counts), 0
    numbers = [0] * num
    for plane in (16, 8, 4, 2, 1):
        if (vocab_size - 1).bit_length() & plane:
            bits = int.from_bytes(ids[at : at + -(-num * plane // 8)], "little")
            numbers = [n | (bits >> i * plane & (1 << plane) - 1) << shift for i, n in enumerate(numbers)]
            at, shift = at + -(-num * plane // 8), shift + plane
    assert at == len(ids)
    words, word = [], 0
    for (difference,) in struct.iter_unpack("<Q", logprobs):
        word = (word + difference) % 2**64
        words.append(word)
    lane = [words[j] >> 8 * i & 255 for i in range(8) for j in range(len(words))]
    entries = iter([(n, -lane[i] / 8) for i, n in enumerate(numbers)])
    return [[next(entries) for _ in range(count)] for count in counts]


@given(top=tops(most=30))
def test_a_reader_written_from_the_page_agrees(top: TopK) -> None:
    blobs = CODECS["packed"].encode(top)
    back = CODECS["packed"].decode(*blobs, top.vocab_size)
    plain = read_packed(*blobs, top.vocab_size)

    assert [len(entries) for entries in plain] == back.counts.tolist()
    assert [entry for entries in plain for entry in entries] == list(
        zip(back.ids.tolist(), back.logprobs.tolist(), strict=True)
    )


def test_bytes_stay_what_they_were() -> None:
    top = TopK(np.int32([70_000, 3, 131_071]), np.float32([-0.5, -1.0, -2.0]), np.uint32([2, 1]), 131_072)
    ids, logprobs = CODECS["packed"].encode(top)
    assert ids.hex(" ") == "50 01 02 00 00 00 02 01 70 11 03 00 ff ff 05"
    assert logprobs.hex(" ") == "04 08 10 00 00 00 00 00"


@pytest.mark.parametrize("name", DENSE)
@given(top=tops(), data=st.data())
def test_a_blob_of_another_length_is_refused(name: str, top: TopK, data: st.DataObject) -> None:
    blobs = list(CODECS[name].encode(top))
    which = data.draw(st.integers(0, 1))
    cut = data.draw(st.integers(0, len(blobs[which])))
    blobs[which] = data.draw(st.sampled_from([blobs[which][:cut], blobs[which] + b"\0" * 8]))
    if blobs == list(CODECS[name].encode(top)):
        return
    with pytest.raises(ShardError) as refusal:
        CODECS[name].decode(blobs[0], blobs[1], top.vocab_size)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", CODECS)
@given(ids=st.binary(max_size=64), logprobs=st.binary(max_size=64), vocab_size=VOCAB_SIZES)
def test_noise_is_refused_or_read_never_worse(
    name: str, ids: bytes, logprobs: bytes, vocab_size: int
) -> None:
    magic = name[:1].upper().encode()
    for blob in (ids, magic + ids, magic + b"\0" + ids, magic + b"\1\2\0\0\0" + ids):
        said = ""
        try:
            CODECS[name].decode(blob, logprobs, vocab_size)
        except ShardError as refusal:
            said = str(refusal)
        assert "\n" not in said


@pytest.mark.parametrize("name", DENSE)
def test_ids_beyond_the_vocabulary_are_refused(name: str) -> None:
    blobs = CODECS[name].encode(TopK(np.int32([40_000]), np.float32([-1]), np.uint32([1]), 49_152))
    with pytest.raises(ShardError, match="ids from 40000 to 40000, the vocabulary has 32769"):
        CODECS[name].decode(*blobs, 32_769)


def test_another_codec_is_refused() -> None:
    with pytest.raises(ShardError, match="codec packed writes b'P'"):
        CODECS["packed"].decode(*CODECS["exact"].encode(top_of([3, 3])), 49_152)


def test_entries_never_drawn_are_refused() -> None:
    top = TopK(np.int32([4]), np.float32([0]), np.uint32([1]), 9, np.uint8([1]))
    ids, _ = CODECS["sampled"].encode(top)
    with pytest.raises(ShardError, match="no draws"):
        CODECS["sampled"].decode(ids, b"\0", 9)


def test_packed_refuses_a_full_vocabulary_and_half_takes_it() -> None:
    with pytest.raises(ConfigError, match="refuses a full vocabulary"):
        CODECS["packed"].encode(top_of([5, 2], vocab_size=5))
    assert len(there_and_back("half", top_of([5, 2], vocab_size=5)).ids) == 7


@pytest.mark.parametrize("name", CODECS)
def test_draws_and_log_probabilities_do_not_mix(name: str) -> None:
    draws = None if name == "sampled" else np.uint8([1])
    with pytest.raises(ConfigError, match=f"codec {name} holds"):
        CODECS[name].encode(TopK(np.int32([4]), np.float32([0]), np.uint32([1]), 9, draws))


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (TopK(np.int32([1]), np.float32([0, 0]), np.uint32([2]), 9), "1 ids for counts that sum to 2"),
        (TopK(np.int32([1, 2]), np.float32([0]), np.uint32([2]), 9), "1 logprobs for counts"),
        (TopK(np.int32([9]), np.float32([0]), np.uint32([1]), 9), "9 for a vocabulary of 9"),
        (TopK(np.int32([-1]), np.float32([0]), np.uint32([1]), 9), "-1 to"),
        (TopK(np.int32([1]), np.float32([np.nan]), np.uint32([1]), 9), "NaN"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(top: TopK, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        CODECS["exact"].encode(top)


@pytest.mark.parametrize("vocab_size", [0, MAX_VOCAB_SIZE + 1])
@pytest.mark.parametrize("name", DENSE)
def test_vocabularies_out_of_range_are_refused(name: str, vocab_size: int) -> None:
    with pytest.raises(ConfigError, match="vocabulary of"):
        CODECS[name].encode(TopK(np.int32([]), np.float32([]), np.uint32([]), vocab_size))
