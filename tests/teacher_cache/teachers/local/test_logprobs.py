"""Log-probabilities of a local model: those of a plain pass over the same tokens."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from schemas.answer import Answer, Usage
from schemas.codec import CODECS
from schemas.example import Example
from schemas.topk import TopK
from teacher_cache.teachers.local import states as local_states
from teacher_cache.teachers.teacher import Entries, Generation

PROMPTS = ("Hi", "A longer prompt, for the padding.", "?")
GIVEN = ("one", "a longer answer", "!")
VOCABULARY = 262
WHOLE = Entries(codec="exact", top_k=-1)
Ask = Callable[..., Sequence[Answer]]
Rows = Callable[..., list[Example]]
Load = Callable[[Path], tuple[Any, Any]]


def plain_pass(load: Load, folder: Path, prompt: str, answer_ids: Sequence[int]) -> NDArray[np.float32]:
    """Whole distributions before each token of an answer, (T, V), without cache, padding or batch."""
    model, tokenizer = load(folder)
    text = f"<s>[user]{prompt}[assistant]" if tokenizer.chat_template else prompt
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = model(torch.tensor([[*ids, *answer_ids]])).logits[0]
    return logits[len(ids) - 1 : -1].log_softmax(-1).numpy()


def decoded(answer: Answer, codec: str = "exact") -> TopK:
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    return CODECS[codec].decode(answer.topk_ids, answer.topk_logprobs, VOCABULARY)


def whole_distributions(answer: Answer) -> NDArray[np.float32]:
    top = decoded(answer)
    found = np.empty((top.num_tokens, VOCABULARY), np.float32)
    np.put_along_axis(found, top.ids.reshape(-1, VOCABULARY), top.logprobs.reshape(-1, VOCABULARY), axis=1)
    return found


def test_written_tokens_carry_the_models_own_distributions_whatever_the_temperature(
    causal: Path, ask: Ask, rows: Rows, load: Load
) -> None:
    how = Generation(max_tokens=7, temperature=2.0, num_samples=2)
    answers = ask(causal, rows(PROMPTS), "text,logprobs", generation=how, entries=WHOLE)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.token_ids is not None
        wanted = plain_pass(load, causal, prompt, answer.token_ids.tolist())
        np.testing.assert_allclose(whole_distributions(answer), wanted, atol=2e-5)
        np.testing.assert_allclose(
            answer.token_logprobs, wanted[np.arange(len(wanted)), answer.token_ids], atol=2e-5
        )


def test_the_first_of_several_samples_is_the_one_that_is_kept(causal: Path, ask: Ask, rows: Rows) -> None:
    one, many = (
        ask(
            causal,
            rows(PROMPTS),
            "text,logprobs",
            entries=Entries(codec="exact", top_k=4),
            generation=Generation(max_tokens=5, temperature=1.0, num_samples=num),
        )
        for num in (1, 3)
    )
    for single, several in zip(one, many, strict=True):
        assert np.array_equal(single.token_ids, several.token_ids)
        assert single.topk_logprobs == several.topk_logprobs
        assert single.texts == (several.texts or ())[:1]


def test_what_is_kept_and_the_tail_sum_to_one(causal: Path, ask: Ask, rows: Rows) -> None:
    for answer in ask(
        causal,
        rows(PROMPTS),
        "logprobs",
        entries=Entries(codec="exact", top_k=5),
        generation=Generation(max_tokens=6),
    ):
        top = decoded(answer)
        assert answer.texts is None
        assert top.counts.tolist() == [5] * 6
        mass = np.exp(top.logprobs.reshape(6, 5), dtype=np.float64).sum(axis=1)
        assert answer.tail_logprob is not None
        np.testing.assert_allclose(mass + np.exp(answer.tail_logprob), 1, atol=1e-6)
        assert (mass < 0.999).any()


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma2", "mamba"])
def test_a_given_answer_is_scored_over_its_own_tokens(
    *, model_type: str, make_causal: Callable[..., Path], ask: Ask, rows: Rows, load: Load, tmp_path: Path
) -> None:
    """GPT-2 has a learned position for each place, Gemma 2 caps its logits, Mamba has no attention."""
    folder = make_causal(tmp_path / model_type, model_type)
    entries = Entries(codec="exact", top_k=-1, given_answers=True)
    answers = ask(folder, rows(PROMPTS, GIVEN), "logprobs", entries=entries)
    for prompt, given, answer in zip(PROMPTS, GIVEN, answers, strict=True):
        assert answer.token_ids is not None
        assert len(answer.token_ids) == len(given)
        wanted = plain_pass(load, folder, prompt, answer.token_ids.tolist())
        np.testing.assert_allclose(whole_distributions(answer), wanted, atol=2e-5)
        assert answer.usage == Usage(1 + len(f"[user]{prompt}[assistant]") + len(given), 0)
        assert (answer.texts, answer.finish_reason) == (None, None)


def test_a_batch_in_parts_is_the_batch(
    causal: Path, ask: Ask, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = Entries(codec="exact", top_k=3, given_answers=True)
    whole = ask(causal, rows(PROMPTS, GIVEN), "logprobs,repr", entries=entries)
    monkeypatch.setattr(local_states, "_MOST_LOGITS", 1)
    monkeypatch.setattr(local_states, "_MOST_FLOATS", 2 * VOCABULARY)
    parts = ask(causal, rows(PROMPTS, GIVEN), "logprobs,repr", entries=entries)
    for one, other in zip(whole, parts, strict=True):
        assert one.topk_ids == other.topk_ids
        np.testing.assert_allclose(one.token_logprobs, other.token_logprobs, atol=2e-5)


def test_texts_may_be_written_while_others_are_scored(causal: Path, ask: Ask, rows: Rows) -> None:
    entries = Entries(codec="exact", top_k=3, given_answers=True)
    how = {"entries": entries, "generation": Generation(max_tokens=4)}
    (both,) = ask(causal, rows(PROMPTS[:1], GIVEN[:1]), "text,logprobs,repr", **how)
    (text,) = ask(causal, rows(PROMPTS[:1], GIVEN[:1]), "text", **how)

    assert both.texts == text.texts
    assert both.token_ids is not None
    assert len(both.token_ids) == len(GIVEN[0])
    assert both.repr is not None
    assert both.usage == Usage(20 + len(GIVEN[0]), 4)


def test_rows_without_an_answer_or_without_room_for_it_are_errors(causal: Path, ask: Ask, rows: Rows) -> None:
    given = ["fine", "", "x" * 300]
    fine, nothing, long = ask(
        causal, rows(["a", "b", "c"], given), "logprobs", entries=Entries(given_answers=True)
    )
    assert fine.error is None
    assert nothing.error == "there is no answer to score"
    assert long.error == (
        "the prompt has 19 tokens and the answer to score 300; the model's context is 256 in all"
    )


def test_draws_do_not_depend_on_neighbours(causal: Path, ask: Ask, rows: Rows) -> None:
    how = {"entries": Entries(codec="sampled", num_draws=20), "generation": Generation(max_tokens=6)}
    together = ask(causal, rows(PROMPTS), "logprobs", **how)
    alone = [ask(causal, [row], "logprobs", **how)[0] for row in rows(PROMPTS)]
    for one, other in zip(together, alone, strict=True):
        assert (one.topk_ids, one.topk_logprobs) == (other.topk_ids, other.topk_logprobs)
        top = decoded(one, "sampled")
        assert top.draws is not None
        assert top.draws.sum() == 6 * 20
        assert one.tail_logprob is None


@pytest.mark.parametrize("given", [False, True], ids=["written", "given"])
def test_logits_that_are_no_numbers_are_an_error_of_their_row_alone(
    *, given: bool, causal: Path, ask: Ask, rows: Rows, load: Load, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(causal, tmp_path / "broken"))
    weights = load_file(folder / "model.safetensors")
    _, tokenizer = load(causal)
    (token,) = tokenizer("Z", add_special_tokens=False)["input_ids"]
    weights["model.embed_tokens.weight"][token] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    entries = Entries(codec="exact", top_k=3, given_answers=given)
    how = {"entries": entries, "generation": Generation(max_tokens=4)}
    prompts = rows(["Hi", "AZ", "longer"], ["ab", "ab", "ab"])
    good, bad, last = ask(folder, prompts, "logprobs", **how)
    sound = ask(causal, prompts, "logprobs", **how)

    assert bad.error == "the model's logits are no finite numbers"
    assert bad.token_ids is bad.usage is None
    assert good.topk_ids == sound[0].topk_ids
    assert last.topk_ids == sound[2].topk_ids
    assert ask(folder, prompts[1:2], "repr")[0].error == "the model's hidden states are no finite numbers"
