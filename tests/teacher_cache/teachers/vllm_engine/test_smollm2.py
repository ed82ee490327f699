"""vLLM in this process and transformers say the same of the real SmolLM2, in float32."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.answer import Answer
from schemas.codec import CODECS
from schemas.example import Example
from schemas.topk import TopK
from teacher_cache.teachers import BACKENDS
from teacher_cache.teachers.teacher import Entries, Generation, TeacherSettings

# vLLM and what it stands on warn of their own.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

VOCABULARY = 49_152
PROMPTS = ("What is the capital of France?", "Say yes.", "Write one line about the sea.", "hi " * 9000)
GIVEN = ("Paris, of course.", "no", "Blue, and far too wide for one line.", "x")
Rows = Callable[..., list[Example]]


def ask(backend: str, folder: Path, rows: Sequence[Example], store: str, **settings: Any) -> list[Answer]:
    options = {"kv-cache-gb": "1"} if backend == "vllm" else {}
    teacher = BACKENDS[backend].make(
        TeacherSettings(name=str(folder), store=tuple(store.split(",")), options=options, **settings)
    )

    async def asked() -> list[Answer]:
        async with teacher:
            return list(await teacher.answer(rows))

    return asyncio.run(asked())


def entries_of(answer: Answer, codec: str) -> TopK:
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    return CODECS[codec].decode(answer.topk_ids, answer.topk_logprobs, VOCABULARY)


def whole(answer: Answer) -> NDArray[np.float32]:
    """Every token's log-probability by id, (T, V)."""
    top = entries_of(answer, "exact")
    found = np.full((top.num_tokens, VOCABULARY), -np.inf, np.float32)
    found[np.repeat(np.arange(top.num_tokens), top.counts), top.ids] = top.logprobs
    return found


@pytest.fixture(scope="module")
def folder(fetched: Path) -> Path:
    return fetched / "models" / "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def written(folder: Path, rows: Rows) -> dict[str, list[Answer]]:
    how: dict[str, Any] = {
        "generation": Generation(max_tokens=12, system="You are brief."),
        "entries": Entries(codec="exact", top_k=8),
    }
    asked = rows(PROMPTS)
    return {name: ask(name, folder, asked, "text,logprobs,repr", **how) for name in ("vllm", "transformers")}


def test_texts_their_ends_and_their_tokens_are_the_same(written: dict[str, list[Answer]]) -> None:
    for ours, peer in zip(written["vllm"][:3], written["transformers"][:3], strict=True):
        assert ours.texts == peer.texts
        assert ours.texts
        assert ours.texts[0]
        assert np.array_equal(ours.token_ids, peer.token_ids)  # type: ignore[arg-type]
        assert (ours.finish_reason, ours.usage) == (peer.finish_reason, peer.usage)


def test_log_probabilities_and_entries_are_the_same_to_a_ten_thousandth(
    written: dict[str, list[Answer]],
) -> None:
    for ours, peer in zip(written["vllm"][:3], written["transformers"][:3], strict=True):
        top, other = entries_of(ours, "exact"), entries_of(peer, "exact")
        assert np.allclose(ours.token_logprobs, peer.token_logprobs, rtol=0, atol=1e-4)  # type: ignore[arg-type]
        assert np.array_equal(top.counts, other.counts)
        assert np.allclose(top.logprobs, other.logprobs, rtol=0, atol=1e-4)
        assert np.mean(top.ids == other.ids) > 0.98  # entries that tie in float32 may change places
        assert np.allclose(ours.tail_logprob, peer.tail_logprob, rtol=1e-2, atol=1e-3)  # type: ignore[arg-type]


def test_hidden_states_are_those_of_the_last_token_before_any_scaling(
    written: dict[str, list[Answer]],
) -> None:
    for ours, peer in zip(written["vllm"][:3], written["transformers"][:3], strict=True):
        assert ours.repr is not None
        assert peer.repr is not None
        assert ours.repr.dtype == np.float16
        assert np.allclose(ours.repr, peer.repr, rtol=4e-3, atol=4e-3)


def test_a_prompt_beyond_the_context_is_a_row_with_an_error(written: dict[str, list[Answer]]) -> None:
    ours, peer = written["vllm"][3], written["transformers"][3]
    assert ours.error == peer.error
    assert "the model's context is 8192" in (ours.error or "")


@pytest.fixture(scope="module")
def scored(folder: Path, rows: Rows) -> dict[tuple[str, str], list[Answer]]:
    wanted = {
        "whole": Entries(codec="exact", top_k=-1, given_answers=True),
        "few": Entries(codec="exact", top_k=8, given_answers=True),
        "drawn": Entries(codec="sampled", num_draws=32, given_answers=True),
    }
    asked = rows(PROMPTS[:3], GIVEN[:3])
    return {
        (name, which): ask(name, folder, asked, "logprobs", entries=entries)
        for name in ("vllm", "transformers")
        for which, entries in wanted.items()
    }


def test_logits_are_those_of_transformers_over_the_whole_vocabulary(
    scored: dict[tuple[str, str], list[Answer]],
) -> None:
    for ours, peer in zip(scored["vllm", "whole"], scored["transformers", "whole"], strict=True):
        assert np.array_equal(ours.token_ids, peer.token_ids)  # type: ignore[arg-type]
        assert whole(ours).shape == (len(ours.token_ids), VOCABULARY)  # type: ignore[arg-type]
        assert np.abs(whole(ours) - whole(peer)).max() < 1e-4


def test_given_answers_are_scored_alike_in_one_pass_and_token_by_token(
    scored: dict[tuple[str, str], list[Answer]],
) -> None:
    for few, all_of_it in zip(scored["vllm", "few"], scored["vllm", "whole"], strict=True):
        top = entries_of(few, "exact")
        assert few.usage == all_of_it.usage
        assert np.allclose(few.token_logprobs, all_of_it.token_logprobs, rtol=0, atol=1e-4)  # type: ignore[arg-type]
        best = np.sort(whole(all_of_it), axis=1)[:, :-9:-1].ravel()
        assert np.allclose(top.logprobs, best, rtol=0, atol=1e-4)


def test_draws_are_those_of_transformers(scored: dict[tuple[str, str], list[Answer]]) -> None:
    for ours, peer in zip(scored["vllm", "drawn"], scored["transformers", "drawn"], strict=True):
        mine, theirs = entries_of(ours, "sampled"), entries_of(peer, "sampled")
        assert mine.draws is not None
        tokens = np.repeat(np.arange(mine.num_tokens), mine.counts)
        assert (np.bincount(tokens, weights=mine.draws) == 32).all()
        shared = len(set(zip(mine.ids.tolist(), mine.draws.tolist(), strict=True)) & _pairs(theirs))
        assert shared > 0.9 * len(_pairs(theirs))  # a draw at the edge of an entry may fall to the next


def _pairs(top: TopK) -> set[tuple[int, int]]:
    assert top.draws is not None
    return set(zip(top.ids.tolist(), top.draws.tolist(), strict=True))


def test_the_first_of_several_samples_has_the_draws_and_a_row_does_not_depend_on_its_neighbours(
    folder: Path, rows: Rows
) -> None:
    how: dict[str, Any] = {
        "generation": Generation(max_tokens=8, temperature=0.7, num_samples=3, seed=5),
        "entries": Entries(codec="sampled"),
    }
    asked = rows(PROMPTS[:3])
    together = ask("vllm", folder, asked, "text,logprobs", **how)
    (alone,) = ask("vllm", folder, asked[1:2], "text,logprobs", **how)

    assert together[1].texts == alone.texts
    assert alone.texts is not None
    assert len(set(alone.texts)) > 1
    assert alone.token_ids is not None
    assert alone.token_logprobs is not None
    assert entries_of(alone, "sampled").num_tokens == len(alone.token_ids)
    assert (alone.token_logprobs < 0).all()
    assert alone.tail_logprob is None
    assert alone.usage is not None
    assert alone.usage.completion_tokens > len(alone.token_ids)
