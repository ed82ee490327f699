"""Local models on each device: what they say there is what a plain pass on the CPU gives."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from schemas.answer import Answer
from schemas.codec import CODECS
from schemas.example import Example
from teacher_cache.media import MediaSource
from teacher_cache.teachers.local.choice import make_local_teacher
from teacher_cache.teachers.local.image_encoder import ImageEncoder
from teacher_cache.teachers.teacher import Entries, Generation, TeacherSettings
from tests.devices import on_each_device
from tests.tiny_vision import png_of, write_resnet

PROMPTS = ("Hi", "A longer prompt, for the padding.", "?")
GIVEN = ("one", "a longer answer", "!")
VOCABULARY = 262
Ask = Callable[..., Sequence[Answer]]
Rows = Callable[..., list[Example]]
Load = Callable[[Path], tuple[Any, Any]]


def whole(answer: Answer) -> NDArray[np.float32]:
    """All log-probabilities of each token, (T, V)."""
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    top = CODECS["exact"].decode(answer.topk_ids, answer.topk_logprobs, VOCABULARY)
    found = np.empty((top.num_tokens, VOCABULARY), np.float32)
    np.put_along_axis(found, top.ids.reshape(-1, VOCABULARY), top.logprobs.reshape(-1, VOCABULARY), axis=1)
    return found


def passed(load: Load, folder: Path, prompt: str, answer_ids: Sequence[int]) -> Any:
    """What a plain pass on the CPU gives, of the prompt and an answer."""
    model, tokenizer = load(folder)
    ids = tokenizer(f"<s>[user]{prompt}[assistant]", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        return model(torch.tensor([[*ids, *answer_ids]]), output_hidden_states=True), len(ids)


@on_each_device
@pytest.mark.parametrize("given", [False, True])
def test_log_probabilities_are_those_of_a_plain_pass(
    *, causal: Path, ask: Ask, rows: Rows, load: Load, device: str, given: bool
) -> None:
    options = {"device": device, "dtype": "float32"}
    entries = Entries(codec="exact", top_k=-1, given_answers=given)
    how = Generation(max_tokens=6, temperature=1.5)
    examples = rows(PROMPTS, GIVEN if given else None)
    store = "logprobs" if given else "text,logprobs"
    answers = ask(causal, examples, store, entries=entries, generation=how, options=options)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.token_ids is not None
        outputs, start = passed(load, causal, prompt, answer.token_ids.tolist())
        wanted = outputs.logits[0, start - 1 : -1].log_softmax(-1).numpy()
        np.testing.assert_allclose(whole(answer), wanted, atol=2e-4)


@on_each_device
def test_texts_are_the_same(causal: Path, ask: Ask, rows: Rows, device: str) -> None:
    """The numbers that choose a token are drawn on the host, from the row alone."""
    how = Generation(max_tokens=8, temperature=1.0, num_samples=2)
    here, there = (
        ask(causal, some, generation=how, options={"device": where, "dtype": "float32"})
        for where, some in (("cpu", rows(PROMPTS)), (device, rows(PROMPTS)[::-1]))
    )
    assert [answer.texts for answer in here] == [answer.texts for answer in there][::-1]
    assert len({answer.texts for answer in here}) == len(PROMPTS)


@on_each_device
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_states_are_those_of_a_plain_pass(
    *, causal: Path, ask: Ask, rows: Rows, load: Load, device: str, pooling: str
) -> None:
    options = {"device": device, "dtype": "float32", "pooling": pooling}
    for prompt, answer in zip(PROMPTS, ask(causal, rows(PROMPTS), "repr", options=options), strict=True):
        states = passed(load, causal, prompt, [])[0].hidden_states[-1][0].numpy()
        wanted = {"mean": states.mean(axis=0), "first": states[0], "last": states[-1]}[pooling]
        np.testing.assert_allclose(answer.repr, wanted, rtol=3e-3, atol=3e-3)


@on_each_device
def test_what_a_device_chooses_by_itself_is_finite_and_named(
    causal: Path, ask: Ask, rows: Rows, device: str
) -> None:
    settings = TeacherSettings(
        name=str(causal), store=("text", "logprobs", "repr"), options={"device": device}
    )
    wanted = {"cpu": "float32", "cuda": "bfloat16"}[device]
    assert make_local_teacher(settings).identity.options["dtype"] == wanted
    entries, how = Entries(codec="exact", top_k=-1), Generation(max_tokens=4)
    asked = {"entries": entries, "generation": how, "options": settings.options}
    for answer in ask(causal, rows(PROMPTS), "text,logprobs,repr", **asked):
        assert answer.repr is not None
        assert np.isfinite(answer.repr).all()
        np.testing.assert_allclose(np.exp(whole(answer), dtype=np.float64).sum(axis=1), 1, atol=1e-5)


@on_each_device
def test_pictures_are_pooled_as_on_the_cpu(tmp_path: Path, device: str) -> None:
    import hashlib

    from PIL import Image

    from schemas.example import Media

    folder = write_resnet(tmp_path / "tiny")
    examples, images = [], []
    for name in "abc":
        (tmp_path / name).write_bytes(png_of(name))
        media = (Media(name, hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()),)
        examples.append(Example(id=name, task="free", split="train", fields={}, media=media, prompt=name))
        with Image.open(tmp_path / name) as image:
            images.append(image.convert("RGB"))
    settings = TeacherSettings(
        name=str(folder), store=("repr",), media=MediaSource(tmp_path), options={"device": device}
    )

    async def answers() -> Sequence[Answer]:
        async with make_local_teacher(settings) as teacher:
            return await teacher.answer(examples)

    wanted = ImageEncoder(folder, "cpu").encode(images)
    for answer, values in zip(asyncio.run(answers()), wanted, strict=True):
        assert answer.repr is not None
        np.testing.assert_allclose(answer.repr, values, rtol=5e-3, atol=5e-3)
