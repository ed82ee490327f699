"""SmolLM2-135M-Instruct, a real language model, as a teacher on this machine."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from schemas.answer import Answer, Usage
from schemas.codec import CODECS
from schemas.example import Example
from teacher_cache.teachers.teacher import Entries, Generation

PROMPTS = ("What is 2 + 3? Answer with a number.", "Name the capital of France.")
VOCABULARY = 49_152
Ask = Callable[..., Sequence[Answer]]
Rows = Callable[..., list[Example]]


@pytest.fixture(scope="module")
def folder(fetched: Path) -> Path:
    return fetched / "models" / "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def written(folder: Path, ask: Ask, rows: Rows) -> Sequence[Answer]:
    return ask(
        folder,
        rows(PROMPTS),
        "text,logprobs,repr",
        generation=Generation(max_tokens=16),
        entries=Entries(codec="exact", top_k=50, top_p=0.99),
    )


def test_it_adds_and_knows_a_capital(written: Sequence[Answer]) -> None:
    total, capital = written
    assert total.texts is not None
    assert "5" in total.texts[0]
    assert capital.texts is not None
    assert "Paris" in capital.texts[0]
    assert total.finish_reason == capital.finish_reason == "stop"


def test_the_token_that_ends_a_text_is_counted_and_kept(written: Sequence[Answer], folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for prompt, answer in zip(PROMPTS, written, strict=True):
        turns = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert answer.token_ids is not None
        assert answer.token_ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(answer.token_ids[:-1]) == (answer.texts or ())[0]
        assert answer.usage == Usage(len(tokenizer(text)["input_ids"]), len(answer.token_ids))


def plain_pass(model: Any, tokenizer: Any, prompt: str, answer_ids: list[int]) -> NDArray[np.float64]:
    """Whole distributions before each token of an answer, (T, V)."""
    turns = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = [*tokenizer(text)["input_ids"], *answer_ids]
    with torch.inference_mode():
        return (
            model(torch.tensor([ids])).logits[0, -len(answer_ids) - 1 : -1].double().log_softmax(-1).numpy()
        )


def test_log_probabilities_are_those_of_a_plain_pass(
    written: Sequence[Answer], folder: Path, load: Callable[[Path], tuple[Any, Any]]
) -> None:
    """Up to what float32 makes of logits around 20: a token at a time with a cache sums in another order."""
    model, tokenizer = load(folder)
    for prompt, answer in zip(PROMPTS, written, strict=True):
        assert answer.token_ids is not None
        wanted = plain_pass(model, tokenizer, prompt, answer.token_ids.tolist())
        num = len(answer.token_ids)
        np.testing.assert_allclose(answer.token_logprobs, wanted[np.arange(num), answer.token_ids], atol=5e-5)
        assert answer.topk_ids is not None
        assert answer.topk_logprobs is not None
        top = CODECS["exact"].decode(answer.topk_ids, answer.topk_logprobs, VOCABULARY)
        places = np.repeat(np.arange(num), top.counts)
        np.testing.assert_allclose(top.logprobs, wanted[places, top.ids], atol=5e-5)
        mass = np.bincount(places, np.exp(top.logprobs, dtype=np.float64))
        assert answer.tail_logprob is not None
        np.testing.assert_allclose(mass + np.exp(answer.tail_logprob), 1, atol=1e-5)


def test_a_given_answer_alone_is_a_plain_pass(
    folder: Path, ask: Ask, rows: Rows, load: Callable[[Path], tuple[Any, Any]]
) -> None:
    entries = Entries(codec="exact", top_k=50, given_answers=True)
    (answer,) = ask(folder, rows(PROMPTS[1:], ["It is Lyon, I think."]), "logprobs", entries=entries)
    assert answer.token_ids is not None
    assert len(answer.token_ids) > 5
    wanted = plain_pass(*load(folder), PROMPTS[1], answer.token_ids.tolist())
    chosen = wanted[np.arange(len(wanted)), answer.token_ids]
    np.testing.assert_allclose(answer.token_logprobs, chosen, atol=1e-5)


def test_scoring_what_was_written_gives_what_was_recorded(
    written: Sequence[Answer], folder: Path, ask: Ask, rows: Rows
) -> None:
    given = [
        replace(row, answer_to_score=(answer.texts or ("",))[0])
        for row, answer in zip(rows(PROMPTS), written, strict=True)
    ]
    entries = Entries(codec="exact", top_k=50, top_p=0.99, given_answers=True)
    for one, other in zip(written, ask(folder, given, "logprobs", entries=entries), strict=True):
        assert one.token_ids is not None
        assert one.token_logprobs is not None
        assert np.array_equal(other.token_ids, one.token_ids[:-1])  # all but the end of turn
        np.testing.assert_allclose(other.token_logprobs, one.token_logprobs[:-1], atol=5e-5)


def test_bfloat16_says_much_the_same(written: Sequence[Answer], folder: Path, ask: Ask, rows: Rows) -> None:
    (rounded, _) = ask(folder, rows(PROMPTS), "repr", options={"dtype": "bfloat16"})
    exact = written[0]
    assert rounded.repr is not None
    assert exact.repr is not None
    one, other = rounded.repr.astype(float), exact.repr.astype(float)
    assert 0.99 < one @ other / np.linalg.norm(one) / np.linalg.norm(other) < 1
