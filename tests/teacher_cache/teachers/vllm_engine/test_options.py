"""What the options of `vllm:` do to answers of tiny models; conversations and pictures."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.answer import Answer
from schemas.codec import CODECS
from schemas.example import Example, Media, Message
from schemas.topk import TopK
from teacher_cache.media import MediaSource
from teacher_cache.teachers import BACKENDS
from teacher_cache.teachers.teacher import Entries, Generation, TeacherSettings

# vLLM and what it stands on warn of their own.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

Rows = Callable[..., list[Example]]
PROMPTS = ("a film", "two films", "and no more of them")


def ask(
    backend: str, folder: Path, rows: Sequence[Example], store: str = "logprobs", **more: Any
) -> list[Answer]:
    options = {name: str(value) for name, value in more.pop("options", {}).items()}
    if backend == "vllm":
        options.setdefault("kv-cache-gb", "0.1")
    teacher = BACKENDS[backend].make(
        TeacherSettings(name=str(folder), store=tuple(store.split(",")), options=options, **more)
    )

    async def asked() -> list[Answer]:
        async with teacher:
            return list(await teacher.answer(rows))

    return asyncio.run(asked())


def close(ours: Sequence[Answer], others: Sequence[Answer], tolerance: float = 2e-4) -> bool:
    return all(
        np.array_equal(one.token_ids, other.token_ids)  # type: ignore[arg-type]
        and np.allclose(one.token_logprobs, other.token_logprobs, rtol=0, atol=tolerance)  # type: ignore[arg-type]
        for one, other in zip(ours, others, strict=True)
    )


def entries_of(answer: Answer, vocab_size: int = 262) -> TopK:
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    return CODECS["exact"].decode(answer.topk_ids, answer.topk_logprobs, vocab_size)


def test_an_adapter_answers_like_the_model_that_it_is_merged_into(
    wide: Path, wide_adapter: Path, tmp_path: Path, rows: Rows
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(wide)
    merged = PeftModel.from_pretrained(base, wide_adapter).merge_and_unload()  # type: ignore[arg-type]
    merged.save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(wide).save_pretrained(tmp_path / "merged")
    asked = rows(PROMPTS, ["one", "two", "three"])
    how = {"entries": Entries(top_k=4, given_answers=True)}

    adapted = ask("vllm", wide, asked, options={"adapter": wide_adapter}, **how)

    assert close(adapted, ask("transformers", tmp_path / "merged", asked, **how), tolerance=1e-3)
    assert not close(adapted, ask("transformers", wide, asked, **how), tolerance=0.1)


def test_processed_log_probabilities_are_those_after_the_temperature(wide: Path, rows: Rows) -> None:
    how = {
        "generation": Generation(max_tokens=6, temperature=0.5, seed=1),
        "entries": Entries(codec="exact", top_k=-1),
    }
    asked = rows(PROMPTS)
    raw = ask("vllm", wide, asked, **how)
    processed = ask("vllm", wide, asked, options={"logprobs-mode": "processed_logprobs"}, **how)

    for one, other in zip(raw, processed, strict=True):
        assert np.array_equal(one.token_ids, other.token_ids)  # type: ignore[arg-type]
        cold = (entries_of(one).logprobs.astype(float) / 0.5).reshape(-1, 262)
        cold -= np.log(np.exp(cold).sum(axis=1, keepdims=True))
        assert np.allclose(entries_of(other).logprobs.reshape(-1, 262), cold, atol=1e-4)
        assert other.token_logprobs is not None
        assert np.isin(other.token_logprobs.round(3), entries_of(other).logprobs.round(3)).all()


def test_entries_after_the_temperature_are_the_same_whoever_chooses_them(wide: Path, rows: Rows) -> None:
    generation = Generation(max_tokens=6, temperature=0.5, seed=1)
    options = {"logprobs-mode": "processed_logprobs"}
    asked = rows(PROMPTS)
    few, every = (
        ask("vllm", wide, asked, generation=generation, options=options, entries=entries)
        for entries in (Entries(codec="exact", top_k=3), Entries(codec="exact", top_k=-1))
    )

    for one, other in zip(few, every, strict=True):
        assert close([one], [other])
        best = entries_of(other).logprobs.reshape(-1, 262)[:, :3].ravel()
        assert np.allclose(entries_of(one).logprobs, best, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_pooling_is_that_of_transformers(wide: Path, rows: Rows, pooling: str) -> None:
    asked = rows(PROMPTS)
    ours, peers = (
        ask(b, wide, asked, "repr", options={"pooling": pooling}) for b in ("vllm", "transformers")
    )

    for one, other in zip(ours, peers, strict=True):
        assert np.allclose(one.repr, other.repr, rtol=4e-3, atol=4e-3)  # type: ignore[arg-type]
        assert one.usage == other.usage


def test_the_longest_prompt_is_that_of_the_option(wide: Path, rows: Rows) -> None:
    generation = Generation(max_tokens=4)
    # <s>[user]...[assistant] are 18 tokens, and each letter is one.
    fits, longer = ask(
        "vllm", wide, rows(["a" * 18, "a" * 19]), "text", generation=generation, options={"max-model-len": 40}
    )

    assert fits.error is None
    assert longer.error == "the prompt has 37 tokens, --max-tokens is 4; the model's context is 40 in all"


def test_pictures_and_conversations_are_read_as_transformers_reads_them(
    wide_seeing: Path, rows: Rows, tmp_path: Path
) -> None:
    asked = [*_with_pictures(rows(PROMPTS), tmp_path), *_too_long(rows(["b" * 250]), tmp_path)]
    how: dict[str, Any] = {
        "generation": Generation(max_tokens=6),
        "entries": Entries(codec="exact", top_k=4),
        "media": MediaSource(tmp_path),
    }
    ours, peers = (ask(b, wide_seeing, asked, "text,logprobs,repr", **how) for b in ("vllm", "transformers"))

    assert [answer.texts for answer in ours] == [answer.texts for answer in peers]
    assert [answer.usage for answer in ours] == [answer.usage for answer in peers]
    assert close(ours[:3], peers[:3], tolerance=1e-3)
    assert all(
        np.allclose(one.repr, other.repr, atol=1e-2) for one, other in zip(ours[:3], peers[:3], strict=True)
    )  # type: ignore[arg-type]
    assert "the model's context is 256 in all" in (ours[3].error or "")


def _with_pictures(plain: Sequence[Example], folder: Path) -> list[Example]:
    """One with two pictures, one of several turns with a picture in the second, one without any."""
    first, second, third = plain
    turns = (Message("user", "hello"), Message("assistant", "yes?"), Message("user", "what is it?", 1))
    return [
        replace(first, media=_pictures(folder, "red", "blue")),
        replace(second, media=_pictures(folder, "blue"), messages=turns),
        third,
    ]


def _too_long(plain: Sequence[Example], folder: Path) -> list[Example]:
    return [replace(row, id="long", media=_pictures(folder, "red")) for row in plain]


def _pictures(folder: Path, *names: str) -> tuple[Media, ...]:
    from PIL import Image

    for name in names:
        Image.new("RGB", (24, 16), name).save(folder / f"{name}.png")
    files = [folder / f"{name}.png" for name in names]
    return tuple(Media(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)
