"""Scored tokens that come in parts are the tokens that come at once."""

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.codec import CODECS
from schemas.errors import ConfigError
from teacher_cache.teachers.scored_tokens import Recorder, check_entries, from_distributions
from teacher_cache.teachers.teacher import Entries

IDS = np.array([2, 0, 4, 4, 1], np.int32)


@pytest.fixture
def logprobs_tv() -> NDArray[np.float32]:
    logits = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    "entries",
    [Entries(codec="exact", top_k=6, top_p=0.8), Entries(codec="sampled", num_draws=9)],
    ids=["top", "drawn"],
)
def test_parts_are_the_same_as_all_at_once(entries: Entries, logprobs_tv: NDArray[np.float32]) -> None:
    recorder = Recorder(entries, "row")
    for some in (slice(0, 1), slice(1, 4), slice(4, 5)):
        recorder.add(IDS[some].tolist(), logprobs_tv[some])
    whole = from_distributions(IDS, logprobs_tv, entries, "row").answer(entries.codec)
    parts = recorder.scored().answer(entries.codec)

    assert (parts.topk_ids, parts.topk_logprobs) == (whole.topk_ids, whole.topk_logprobs)
    assert np.array_equal(parts.token_ids, IDS)
    assert np.array_equal(parts.token_logprobs, logprobs_tv[np.arange(5), IDS])
    assert (parts.tail_logprob is None) == (entries.codec == "sampled")
    if parts.tail_logprob is not None:
        assert np.array_equal(parts.tail_logprob, whole.tail_logprob)


def test_drawn_entries_depend_on_their_position(logprobs_tv: NDArray[np.float32]) -> None:
    same_twice = np.repeat(logprobs_tv[:1], 2, axis=0)
    recorder = Recorder(Entries(codec="sampled", num_draws=64), "row")
    recorder.add([2], same_twice[:1])
    recorder.add([2], same_twice[1:])
    answer = recorder.scored().answer("sampled")
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    top = CODECS["sampled"].decode(answer.topk_ids, answer.topk_logprobs, 6)

    assert top.draws is not None
    first, second = np.split(top.draws, [int(top.counts[0])])
    assert first.sum() == second.sum() == 64
    assert not np.array_equal(first, second)


def test_entries_that_a_codec_cannot_hold_are_refused_before_anything_is_asked() -> None:
    check_entries(Entries(codec="exact", top_k=-1), 1000)
    with pytest.raises(ConfigError, match=r"packed refuses a full vocabulary"):
        check_entries(Entries(codec="packed", top_k=-1), 1000)
