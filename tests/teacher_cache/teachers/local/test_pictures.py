"""A local model that sees: a tiny Idefics3 reads pictures, writes, scores and is pooled by the same code."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from schemas.answer import Answer, Usage
from schemas.example import Example, Media, Message
from teacher_cache.media import MediaSource
from teacher_cache.teachers.local.model import LocalModelTeacher
from teacher_cache.teachers.teacher import Entries, Generation, TeacherSettings

Ask = Callable[..., Sequence[Answer]]
Rows = Callable[..., list[Example]]
SIGNALS = "text,logprobs,repr"
HOW: dict[str, Any] = {
    "generation": Generation(max_tokens=6),
    "entries": Entries(codec="exact", top_k=4),
}
# <fake_token_around_image> <global-img> four times <image> <fake_token_around_image>
TOKENS_OF_A_PICTURE = 7


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> MediaSource:
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        Image.new("RGB", (16, 16), colour).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:30])
    return MediaSource(folder)


@pytest.fixture
def seen(rows: Rows, pictures: MediaSource) -> Callable[..., Example]:
    """An example with pictures: `seen(prompt, "red", "blue")`."""

    def made(prompt: str, *names: str) -> Example:
        assert pictures.root is not None
        files = [pictures.root / f"{name}.png" for name in names]
        digests = [hashlib.sha256(f.read_bytes()).hexdigest() if f.exists() else "" for f in files]
        media = tuple(Media(f.name, digest) for f, digest in zip(files, digests, strict=True))
        return replace(rows([prompt])[0], id="-".join((prompt, *names)), media=media)

    return made


def close(one: Answer, other: Answer) -> bool:
    assert one.repr is not None
    assert other.repr is not None
    assert one.token_logprobs is not None
    assert other.token_logprobs is not None
    return (
        np.allclose(one.repr, other.repr, rtol=4e-3, atol=4e-3)
        and np.array_equal(one.token_ids, other.token_ids)
        and np.allclose(one.token_logprobs, other.token_logprobs, atol=1e-4)
        and (one.texts, one.usage) == (other.texts, other.usage)
    )


def test_rows_with_none_one_or_two_pictures_are_answered_as_if_alone(
    seeing: Path, ask: Ask, pictures: MediaSource, seen: Callable[..., Example]
) -> None:
    examples = [
        seen("What?", "red"),
        seen("No picture"),
        seen("Which of these two?", "red", "blue"),
        seen("A longer question of one?", "blue"),
    ]
    together = ask(seeing, examples, SIGNALS, media=pictures, **HOW)
    alone = [ask(seeing, [example], SIGNALS, media=pictures, **HOW)[0] for example in examples]

    assert all(map(close, together, alone))
    for example, answer in zip(examples, together, strict=True):
        text = 1 + len(f"[user]{example.prompt}[assistant]")
        assert answer.usage == Usage(text + TOKENS_OF_A_PICTURE * len(example.media), 6)


def test_what_is_in_the_picture_matters(
    seeing: Path, ask: Ask, pictures: MediaSource, seen: Callable[..., Example]
) -> None:
    red, blue = ask(
        seeing, [seen("What?", "red"), seen("What?", "blue")], "repr,logprobs", media=pictures, **HOW
    )
    assert red.repr is not None
    assert blue.repr is not None
    assert np.abs(red.repr.astype(float) - blue.repr).max() > 0.05


def test_a_given_answer_is_scored_after_the_picture(
    seeing: Path, ask: Ask, pictures: MediaSource, seen: Callable[..., Example]
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    examples = [
        replace(seen("What?", "red"), answer_to_score="a dog"),
        replace(seen("What is here?", "blue"), answer_to_score="sea"),
    ]
    answers = ask(
        seeing,
        examples,
        "logprobs",
        media=pictures,
        entries=Entries(codec="exact", top_k=4, given_answers=True),
    )
    processor = AutoProcessor.from_pretrained(seeing, local_files_only=True)
    model = AutoModelForImageTextToText.from_pretrained(seeing, local_files_only=True).eval()
    for example, answer in zip(examples, answers, strict=True):
        text = f"<s>[user]<image>{example.prompt}[assistant]{example.answer_to_score}"
        image = pictures.load_image(example.media[0])
        inputs = processor(text=[text], images=[[image]], add_special_tokens=False, return_tensors="pt")
        num = len(example.answer_to_score or "")
        with torch.inference_mode():
            logprobs = model(**inputs).logits[0].log_softmax(-1)[-num - 1 : -1]
        ids = inputs["input_ids"][0, -num:]
        assert answer.token_ids is not None
        assert answer.token_ids.tolist() == ids.tolist()
        wanted = logprobs[torch.arange(num), ids].numpy()
        np.testing.assert_allclose(answer.token_logprobs, wanted, atol=2e-5)


def test_pictures_stand_in_the_turn_that_they_belong_to(
    seeing: Path, ask: Ask, pictures: MediaSource, seen: Callable[..., Example]
) -> None:
    turns = (Message("user", "first", 1), Message("assistant", "yes"), Message("user", "second", 1))
    turned = (Message("user", "first"), Message("assistant", "yes"), Message("user", "second", 2))
    example = seen("unused", "red", "blue")
    apart, together = ask(
        seeing,
        [replace(example, messages=turns), replace(example, id="other", messages=turned)],
        SIGNALS,
        media=pictures,
        **HOW,
    )
    assert apart.usage == together.usage
    assert not close(apart, together)


def test_pictures_that_cannot_be_seen_are_errors_of_their_rows(
    seeing: Path, ask: Ask, pictures: MediaSource, seen: Callable[..., Example]
) -> None:
    long = seen("x" * 240, "red")
    fine, broken, absent, full = ask(
        seeing,
        [seen("What?", "red"), seen("What?", "broken"), seen("What?", "absent"), long],
        media=pictures,
        **HOW,
    )
    assert fine.error is None
    assert broken.error is not None
    assert broken.error.startswith("broken.png is no picture that can be read")
    assert absent.error == "absent.png is not there"
    assert full.error == "the prompt has 265 tokens, --max-tokens is 6; the model's context is 256 in all"


def test_a_model_that_reads_text_alone_refuses_the_row(
    causal: Path, ask: Ask, pictures: MediaSource, seen: Callable[..., Example]
) -> None:
    refused, fine = ask(causal, [seen("What?", "red"), seen("What?")], media=pictures, **HOW)
    assert refused.error == "this model reads text alone, and the example has media"
    assert fine.error is None


def test_the_identity_knows_the_processor(seeing: Path) -> None:
    identity = LocalModelTeacher(TeacherSettings(name=str(seeing), store=("text",))).identity
    assert (identity.modality, identity.repr_dim, identity.vocab_size) == ("image", 32, 262)
    assert {"config", "tokenizer", "processor", "chat_template"} <= set(identity.hashes)
    assert "pillow" in identity.versions


@pytest.mark.parametrize("chat", ["true", "false"])
def test_a_text_cannot_bring_the_mark_of_a_picture(
    seeing: Path, ask: Ask, pictures: MediaSource, seen: Callable[..., Example], chat: str
) -> None:
    (answer,) = ask(seeing, [seen("What <image>?", "red")], "repr", media=pictures, options={"chat": chat})

    assert answer.repr is None
    assert "spells <image>, which this model would take for its special token" in str(answer.error)
