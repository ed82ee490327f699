"""Choosing entries: the right ones, the mass outside them to the last digit, and draws without bias."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from scipy.stats import chi2

from schemas.codec import CODECS
from schemas.errors import ConfigError, ShapeError, TeacherError
from schemas.topk import TopK, captured_mass, draw, rescale, select_top, tail_of


def distributions(
    num_tokens: int, vocab_size: int, seed: int = 0, spread: float = 3.0
) -> NDArray[np.float32]:
    logits = np.random.default_rng(seed).normal(scale=spread, size=(num_tokens, vocab_size))
    return log_softmax(logits, axis=1).astype(np.float32)


def split(top: TopK) -> list[slice]:
    ends = np.cumsum(top.counts)
    return [slice(end - count, end) for end, count in zip(ends, top.counts, strict=True)]


@given(
    seed=st.integers(0, 1000),
    num_tokens=st.integers(0, 6),
    vocab_size=st.integers(1, 60),
    ks=st.tuples(st.integers(1, 70), st.integers(1, 70)).map(sorted),
    p=st.one_of(st.just(1.0), st.floats(0.01, 1)),
)
def test_selection_equals_the_slow_way(
    seed: int, num_tokens: int, vocab_size: int, ks: list[int], p: float
) -> None:
    min_k, k = ks
    whole = distributions(num_tokens, vocab_size, seed)
    top, tail = select_top(whole, k, p, min_k)

    assert top.num_tokens == len(tail) == num_tokens
    for row, where, rest in zip(whole.astype(np.float64), split(top), tail, strict=True):
        order = np.argsort(-row, kind="stable")
        needed = 1 + int(np.searchsorted(np.cumsum(np.exp(row[order])), p)) if p < 1 else k
        num = min(max(needed, min_k), k, vocab_size)
        np.testing.assert_array_equal(top.ids[where], order[:num])
        np.testing.assert_array_equal(top.logprobs[where], row[order[:num]].astype(np.float32))
        outside = logsumexp(row[order[num:]]) if num < vocab_size else -np.inf
        assert rest == pytest.approx(outside, abs=1e-5)


def test_equal_probabilities_stand_by_id() -> None:
    top, _ = select_top(np.full((1, 4), np.log(0.25), np.float32), 4)
    assert top.ids.tolist() == [0, 1, 2, 3]


def test_tail_is_right_where_one_minus_the_kept_mass_is_noise() -> None:
    whole = log_softmax(np.float64([[0, -30, -31, -32]]), axis=1)
    _, tail = select_top(whole, 1)
    assert tail[0] == pytest.approx(logsumexp([-30, -31, -32]), abs=1e-5)


def test_impossible_entries_are_never_kept() -> None:
    top, tail = select_top(np.float32([[0, -np.inf, -np.inf]]), 3, 1.0, 3)
    assert top.counts.tolist() == [1]
    assert tail.tolist() == [-np.inf]


def test_tail_from_the_entries_alone() -> None:
    top, tail = select_top(distributions(20, 500), 30, 0.9)
    np.testing.assert_allclose(tail_of(top), tail, atol=1e-4)
    assert tail_of(TopK(np.int32([1]), np.float32([1e-7]), np.uint32([1, 0]), 9)).tolist() == [-np.inf, 0]


def test_captured_mass_is_a_mean_over_tokens() -> None:
    assert captured_mass(np.log(np.float32([0.1, 0.3]))) == pytest.approx(0.8)
    assert captured_mass(np.float32([-np.inf])) == 1
    assert captured_mass(np.float32([])) is None


def test_rescaling_brings_packed_entries_back_to_their_sum() -> None:
    top, tail = select_top(distributions(50, 800), 40, 0.95)
    rough = CODECS["packed"].decode(*CODECS["packed"].encode(top), 800)
    mended = rescale(rough, tail)

    for where, rest in zip(split(top), tail, strict=True):
        assert np.exp(mended.logprobs[where]).sum() + np.exp(rest) == pytest.approx(1, abs=1e-6)
    assert np.abs(mended.logprobs - rough.logprobs).max() <= 1 / 16


def test_rescaling_leaves_empty_tokens_and_checks_the_number_of_tails() -> None:
    top = TopK(np.int32([3]), np.float32([-1]), np.uint32([0, 1, 0]), 9)
    mended = rescale(top, np.float32([0, np.log(0.5), 0]))
    assert mended.logprobs.tolist() == pytest.approx([np.log(0.5)])
    with pytest.raises(ShapeError, match="2 tail log-probabilities for 3 tokens"):
        rescale(top, np.float32([0, 0]))


def test_draws_follow_the_distribution() -> None:
    whole = distributions(1, 40, spread=1.5)
    top = draw(np.repeat(whole, 4_000, axis=0), 25, "row-7")
    assert top.draws is not None
    seen = np.bincount(top.ids, top.draws, 40)
    wanted = 100_000 * np.exp(whole[0].astype(np.float64))

    # One sound sampler in a million has a larger statistic, and this seed is fixed.
    assert ((seen - wanted) ** 2 / wanted).sum() < chi2.ppf(1 - 1e-6, df=39)


def test_the_share_of_draws_is_unbiased_where_top_k_is_not() -> None:
    whole = distributions(1, 200, spread=1.0)
    probabilities = np.exp(whole[0].astype(np.float64))
    top = draw(np.repeat(whole, 4_000, axis=0), 16, "a")
    estimate = np.bincount(top.ids, np.exp(top.logprobs), 200) / 4_000
    standard_error = np.sqrt(probabilities * (1 - probabilities) / (16 * 4_000))

    # 200 normal deviates stay below five in all but one of ten thousand tries.
    assert np.abs((estimate - probabilities) / standard_error).max() < 5
    kept = np.sort(probabilities)[-16:]
    assert kept[-1] / kept.sum() - kept[-1] > 5 * standard_error.max()


@given(cuts=st.lists(st.integers(0, 12), max_size=3), num_draws=st.integers(1, 60))
def test_draws_do_not_depend_on_batching(cuts: list[int], num_draws: int) -> None:
    whole = distributions(12, 300)
    edges = [0, *sorted(cuts), 12]
    parts = [draw(whole[a:b], num_draws, "row", a) for a, b in itertools.pairwise(edges)]
    once = draw(whole, num_draws, "row")

    for name in ("ids", "draws", "counts", "logprobs"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(once, name))


def test_draws_depend_on_the_example_and_the_position() -> None:
    whole = np.repeat(distributions(1, 1000, spread=1.0), 2, axis=0)
    first, second = (draw(whole, 20, example_id) for example_id in ("a", "b"))
    assert first.ids.tolist() != second.ids.tolist()
    at_zero, at_one = (first.ids[where].tolist() for where in split(first))
    assert at_zero != at_one


def test_draws_stay_what_they_were() -> None:
    top = draw(distributions(1, 50), 8, "golden", 3)
    assert top.draws is not None
    assert dict(zip(top.ids.tolist(), top.draws.tolist(), strict=True)) == {47: 3, 48: 3, 21: 1, 39: 1}


def test_draws_are_counted_and_ordered() -> None:
    top = draw(distributions(30, 100), 50, "a")
    assert top.draws is not None
    for where in split(top):
        pairs = list(zip(-top.draws[where].astype(int), top.ids[where], strict=True))
        assert pairs == sorted(pairs)
        assert -sum(number for number, _ in pairs) == 50
    assert len(np.unique(top.ids[split(top)[0]])) == top.counts[0]


def test_what_cannot_be_is_never_drawn() -> None:
    whole = np.full((300, 5), -np.inf, np.float32)
    whole[:, 2] = 0
    top = draw(whole, 255, "a")
    assert set(top.ids.tolist()) == {2}
    assert top.draws is not None
    assert set(top.draws.tolist()) == {255}


@pytest.mark.parametrize("value", [np.nan, np.inf, 5.0])
def test_no_distribution_is_refused(value: float) -> None:
    whole = distributions(3, 10)
    whole[1, 4] = value
    with pytest.raises(TeacherError, match="token 1 sum to"):
        select_top(whole, 4)
    with pytest.raises(TeacherError, match="token 1 sum to"):
        draw(whole, 4, "a")


@pytest.mark.parametrize(("k", "p", "min_k"), [(0, 1, 1), (4, 0, 1), (4, 1.5, 1), (4, 1, 5), (4, 1, 0)])
def test_settings_out_of_range_are_refused(k: int, p: float, min_k: int) -> None:
    with pytest.raises(ConfigError, match="top-k"):
        select_top(distributions(1, 9), k, p, min_k)


@pytest.mark.parametrize("num_draws", [0, 256])
def test_draws_out_of_range_are_refused(num_draws: int) -> None:
    with pytest.raises(ConfigError, match="give 1 to 255"):
        draw(distributions(1, 9), num_draws, "a")


@pytest.mark.parametrize("shape", [(3,), (2, 0)])
def test_shapes_without_a_vocabulary_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="tokens, vocabulary"):
        select_top(np.zeros(shape, np.float32), 1)
    with pytest.raises(ShapeError, match="tokens, vocabulary"):
        draw(np.zeros(shape, np.float32), 1, "a")
