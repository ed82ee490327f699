"""What a local model writes: what it would write alone, whoever is asked beside it."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.answer import Answer, Usage
from schemas.errors import ConfigError
from schemas.example import Example, Message
from teacher_cache.teachers.local.model import LocalModelTeacher
from teacher_cache.teachers.teacher import Entries, Generation, TeacherSettings

PROMPTS = ("Hi", "A longer prompt, for the padding.", "?")
Ask = Callable[..., Sequence[Answer]]
Rows = Callable[..., list[Example]]
Load = Callable[[Path], tuple[Any, Any]]


def greedy(model: Any, ids: list[int], num: int) -> list[int]:
    """The most probable tokens, one whole pass each: no cache, no padding, no batch."""
    written: list[int] = []
    with torch.inference_mode():
        for _ in range(num):
            written.append(int(model(torch.tensor([ids + written])).logits[0, -1].argmax()))
    return written


def rendered(tokenizer: Any, prompt: str) -> list[int]:
    return tokenizer(f"<s>[user]{prompt}[assistant]", add_special_tokens=False)["input_ids"]


def with_ends(folder: Path, copy: Path, **settings: Any) -> Path:
    """The same model with other words in its generation config."""
    shutil.copytree(folder, copy)
    path = copy / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return copy


def test_at_temperature_0_each_row_gets_the_most_probable_tokens(
    causal: Path, ask: Ask, rows: Rows, load: Load
) -> None:
    model, tokenizer = load(causal)
    answers = ask(
        causal,
        rows(PROMPTS),
        "text,logprobs",
        generation=Generation(max_tokens=9),
        entries=Entries(codec="exact", top_k=3),
    )
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        wanted = greedy(model, rendered(tokenizer, prompt), 9)
        assert answer.token_ids is not None
        assert answer.token_ids.tolist() == wanted
        assert answer.texts == (tokenizer.decode(wanted, skip_special_tokens=True),)


def test_tokens_are_counted_without_padding(causal: Path, ask: Ask, rows: Rows) -> None:
    short, long = ask(causal, rows(("Hi", "Hi" * 40)), generation=Generation(max_tokens=5))

    assert short.usage == Usage(1 + len("[user]Hi[assistant]"), 5)
    assert long.usage == Usage(1 + len("[user][assistant]") + 80, 5)
    assert short.finish_reason == long.finish_reason == "length"


def test_a_text_ends_where_the_generation_config_or_the_tokenizer_says(
    causal: Path, ask: Ask, rows: Rows, load: Load, tmp_path: Path
) -> None:
    model, tokenizer = load(causal)
    wanted = [greedy(model, rendered(tokenizer, prompt), 9) for prompt in PROMPTS]
    end = next(token for place, token in enumerate(wanted[1]) if token not in wanted[1][:place] and place > 2)
    folder = with_ends(causal, tmp_path / "ends", eos_token_id=[2, end], repetition_penalty=9.0)
    answers = ask(folder, rows(PROMPTS), "text,logprobs", generation=Generation(max_tokens=9))

    for tokens, answer in zip(wanted, answers, strict=True):
        ended = end in tokens
        cut = tokens[: tokens.index(end) + 1] if ended else tokens
        assert answer.token_ids is not None
        assert answer.token_ids.tolist() == cut
        assert answer.finish_reason == ("stop" if ended else "length")
        assert answer.usage is not None
        assert answer.usage.completion_tokens == len(cut)


def test_a_drawn_text_does_not_depend_on_neighbours_order_or_padding(
    causal: Path, ask: Ask, rows: Rows
) -> None:
    how = {"generation": Generation(max_tokens=12, temperature=1.0, num_samples=3, seed=7)}
    together = ask(causal, rows(PROMPTS), **how)
    alone = [ask(causal, [row], **how)[0] for row in rows(PROMPTS)]
    turned = ask(causal, rows(PROMPTS)[::-1], **how)[::-1]

    assert [answer.texts for answer in together] == [answer.texts for answer in alone]
    assert [answer.texts for answer in together] == [answer.texts for answer in turned]
    assert len(set(together[0].texts or ())) == 3
    assert together[0].usage == Usage(20, 36)


def test_another_seed_row_or_sample_is_another_text(causal: Path, ask: Ask, rows: Rows) -> None:
    (row,) = rows(PROMPTS[:1])
    texts: list[str] = []
    for seed in (0, 1):
        how = Generation(max_tokens=12, temperature=1.0, num_samples=2, seed=seed)
        for other in (row, replace(row, id="another")):
            texts += ask(causal, [other], generation=how)[0].texts or ()
    assert len(set(texts)) == 8


def test_drawn_tokens_are_as_frequent_as_the_model_says(
    causal: Path, ask: Ask, rows: Rows, load: Load
) -> None:
    model, tokenizer = load(causal)
    with torch.inference_mode():
        logits_V = model(torch.tensor([rendered(tokenizer, "Hi")])).logits[0, -1].double()
    expected = (logits_V / 1.5).softmax(0).numpy()
    how = Generation(max_tokens=1, temperature=1.5)
    answers = ask(
        causal, rows(["Hi"] * 2000), "logprobs", generation=how, entries=Entries(codec="exact", top_k=1)
    )
    drawn = [int(answer.token_ids[0]) for answer in answers if answer.token_ids is not None]
    found = np.bincount(drawn, minlength=len(expected)) / len(drawn)

    likely = expected > 0.01
    spread = np.sqrt(expected[likely] * (1 - expected[likely]) / len(drawn))
    assert likely.sum() > 5
    assert (np.abs(found - expected)[likely] < 4.5 * spread).all()


def test_the_system_stands_first_unless_the_row_has_one(causal: Path, ask: Ask, rows: Rows) -> None:
    (row,) = rows(["unused"])
    turns = (Message("user", "ab"), Message("assistant", "c"), Message("user", "d"))
    own = (Message("system", "zz"), *turns)
    how = {"generation": Generation(max_tokens=1, system="xyz")}
    spoken, kept = ask(causal, [replace(row, messages=turns), replace(row, id="b", messages=own)], **how)

    between = 1 + len("[user]ab[assistant]c[user]d[assistant]")
    assert spoken.usage == Usage(between + len("[system]xyz"), 1)
    assert kept.usage == Usage(between + len("[system]zz"), 1)


def test_without_a_template_the_prompt_is_read_as_it_is(
    make_causal: Callable[..., Path], ask: Ask, rows: Rows, tmp_path: Path
) -> None:
    plain = make_causal(tmp_path / "plain", chat=None)
    row, talk, empty = rows(["abc", "unused", "  "])
    talk = replace(talk, messages=(Message("user", "hello"),))
    how = {"generation": Generation(max_tokens=1)}
    read, refused, nothing = ask(plain, [row, talk, empty], **how)

    assert read.usage == Usage(1 + len("abc"), 1)
    assert refused.error == "a conversation needs a chat template, and this model is asked without one"
    assert nothing.error == "the prompt is empty"
    with_system = ask(plain, [row], generation=Generation(max_tokens=1, system="S"))
    assert with_system[0].usage == Usage(1 + len("S\n\nabc"), 1)


def test_a_prompt_that_does_not_fit_is_an_error_with_the_numbers(causal: Path, ask: Ask, rows: Rows) -> None:
    most = 256 - 10 - len("[user][assistant]") - 1
    fits, long = ask(causal, rows(["x" * most, "x" * (most + 1)]), generation=Generation(max_tokens=10))

    assert fits.error is None
    assert long.error == ("the prompt has 247 tokens, --max-tokens is 10; the model's context is 256 in all")


def test_leaving_stops_a_text_that_is_being_written(
    make_causal: Callable[..., Path], rows: Rows, tmp_path: Path
) -> None:
    folder = make_causal(tmp_path / "long", max_position_embeddings=100_000)
    settings = TeacherSettings(name=str(folder), store=("text",), generation=Generation(max_tokens=90_000))

    async def leave() -> float:
        async with LocalModelTeacher(settings) as teacher:
            writing = asyncio.create_task(teacher.answer(rows(PROMPTS)))
            await asyncio.sleep(1)
            assert not writing.done()
            writing.cancel()
            left = time.monotonic()
        return time.monotonic() - left

    # To its end it would write for many minutes.
    assert asyncio.run(leave()) < 60


def test_equal_samples_are_refused(causal: Path) -> None:
    with pytest.raises(ConfigError, match=r"--num-samples 3 with --sampling-temperature 0 gives one text 3"):
        LocalModelTeacher(
            TeacherSettings(name=str(causal), store=("text",), generation=Generation(num_samples=3))
        )
