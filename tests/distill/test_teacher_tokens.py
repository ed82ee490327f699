"""Blobs of many rows to tensors: what `schemas.codec` decodes row by row, bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.teacher_tokens import TeacherTokens, gather_tokens, unpack
from schemas.codec import CODECS, MAX_VOCAB_SIZE
from schemas.errors import ConfigError, ShardError
from schemas.topk import TopK

CPU = torch.device("cpu")
VOCAB_SIZES = st.one_of(
    st.sampled_from([2, 3, 255, 257, 49_152, 65_537, 151_936, MAX_VOCAB_SIZE]), st.integers(2, MAX_VOCAB_SIZE)
)


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[TopK], str]:
    """Rows of one cache, of no tokens, of tokens without entries, of any mixture."""
    codec, vocab_size = draw(st.sampled_from(sorted(CODECS))), draw(VOCAB_SIZES)
    most = min(90, vocab_size - 1)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    constant = st.builds(lambda num, each: [each] * num, st.integers(0, 12), st.integers(0, most))
    counts = st.one_of(st.lists(st.integers(0, most), max_size=12), constant)
    return [_row(each, vocab_size, codec, random) for each in draw(st.lists(counts, max_size=5))], codec


def _row(counts: list[int], vocab_size: int, codec: str, random: np.random.Generator) -> TopK:
    num = sum(counts)
    ids = random.integers(0, vocab_size, num, np.int32)
    logprobs = -random.exponential(8, num).astype(np.float32)
    draws = random.integers(1, 256, num, np.uint8) if codec == "sampled" else None
    return TopK(ids, logprobs, np.array(counts, np.uint32), vocab_size, draws)


def sent(tops: list[TopK], codec: str, vocab_size: int) -> TeacherTokens:
    """Through blobs and back."""
    blobs = [CODECS[codec].encode(top) for top in tops]
    tails = None if codec == "sampled" else [-np.arange(top.num_tokens, dtype=np.float32) for top in tops]
    return unpack(gather_tokens([a for a, _ in blobs], [b for _, b in blobs], tails, vocab_size), CPU)


@given(drawn=rows())
def test_equals_the_decoding_of_the_contract_bit_for_bit(drawn: tuple[list[TopK], str]) -> None:
    tops, codec = drawn
    vocab_size = tops[0].vocab_size if tops else 9
    tokens = sent(tops, codec, vocab_size)
    backs = [CODECS[codec].decode(*CODECS[codec].encode(top), vocab_size) for top in tops]

    counts = np.concatenate([back.counts for back in backs] or [np.empty(0, np.uint32)])
    np.testing.assert_array_equal(tokens.counts_N.numpy(), counts)
    assert tokens.ids_NK.shape == tokens.logprobs_NK.shape == (len(counts), counts.max(initial=0))
    kept = np.arange(tokens.ids_NK.shape[1]) < counts[:, None]
    np.testing.assert_array_equal(tokens.ids_NK.numpy()[kept], np.concatenate([b.ids for b in backs] or [[]]))
    bits = np.concatenate([back.logprobs for back in backs] or [np.empty(0, np.float32)]).view(np.int32)
    np.testing.assert_array_equal(tokens.logprobs_NK.numpy()[kept].view(np.int32), bits)
    assert not tokens.ids_NK.numpy()[~kept].any()
    assert (tokens.logprobs_NK.numpy()[~kept] == -np.inf).all()


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_tails_come_in_order_and_drawn_entries_have_none(codec: str) -> None:
    random = np.random.default_rng(0)
    tokens = sent([_row(counts, 99, codec, random) for counts in ([3, 0], [], [5])], codec, 99)
    assert len(tokens) == 3
    if codec == "sampled":
        assert tokens.tail_N is None
        return
    assert tokens.tail_N is not None
    assert tokens.tail_N.tolist() == [0, -1, 0]
    chosen = tokens.at(torch.tensor([2, 0]))
    assert chosen.counts_N.tolist() == [5, 3]
    assert chosen.logprobs_NK.equal(tokens.logprobs_NK[[2, 0]])


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_another_length_is_refused(codec: str) -> None:
    ids, values = CODECS[codec].encode(_row([3, 2], 300, codec, np.random.default_rng(0)))
    tails = [np.zeros(2, np.float32)]
    for blobs in ((ids[:-1], values), (ids + b"\0", values), (ids, values[:-1]), (ids[:4], values)):
        with pytest.raises(ShardError, match="bytes"):
            gather_tokens([blobs[0]], [blobs[1]], tails, 300)
    with pytest.raises(ShardError, match="tail_logprob: 4 bytes, its header says 8"):
        gather_tokens([ids], [values], [np.zeros(1, np.float32)], 300)


def test_two_codecs_and_unknown_letters_are_refused() -> None:
    one, other = (
        CODECS[name].encode(_row([1], 9, name, np.random.default_rng(0))) for name in ("exact", "half")
    )
    with pytest.raises(ShardError, match=r"first bytes \[b'E', b'H'\]"):
        gather_tokens([one[0], other[0]], [one[1], other[1]], None, 9)
    with pytest.raises(ShardError, match="first bytes"):
        gather_tokens([b"X" + one[0][1:]], [one[1]], None, 9)
    with pytest.raises(ConfigError, match="vocabulary of"):
        gather_tokens([one[0]], [one[1]], None, MAX_VOCAB_SIZE + 1)


@given(noise=st.binary(min_size=12, max_size=12))
def test_damaged_ids_stay_inside_the_vocabulary(noise: bytes) -> None:
    ids, values = CODECS["exact"].encode(_row([3], 9, "exact", np.random.default_rng(0)))
    tokens = unpack(gather_tokens([ids[:-12] + noise], [values], [np.zeros(1, np.float32)], 9), CPU)
    assert 0 <= int(tokens.ids_NK.min()) <= int(tokens.ids_NK.max()) < 9


@pytest.mark.gpu
def test_the_device_unpacks_what_the_host_does() -> None:
    random = np.random.default_rng(0)
    for codec in CODECS:
        tops = [_row([7, 0, 64], 151_936, codec, random), _row([33], 151_936, codec, random)]
        blobs = [CODECS[codec].encode(top) for top in tops]
        encoded = gather_tokens([a for a, _ in blobs], [b for _, b in blobs], None, 151_936)
        here, there = unpack(encoded, CPU), unpack(encoded, torch.device("cuda"))
        assert here.ids_NK.equal(there.ids_NK.cpu())
        torch.testing.assert_close(there.logprobs_NK.cpu(), here.logprobs_NK, rtol=1e-6, atol=0)
