"""Representations from a service: embeddings, and pictures that are embedded here by a vision model."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.answer import Answer, Usage
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example, Media, Message
from teacher_cache.kept_pictures import picture_name
from teacher_cache.media import MediaSource
from teacher_cache.teachers.local.image_encoder import ImageEncoder
from teacher_cache.teachers.openai_service.service import OpenAITeacher
from teacher_cache.teachers.teacher import Service, TeacherSettings
from tests.teacher_cache.service import FaultyService

WIDTH = 8


@pytest.fixture
def service() -> Iterator[Any]:
    with FaultyService(width=WIDTH) as service:
        yield service


@pytest.fixture
def vllm() -> Iterator[Any]:
    with FaultyService(vllm=True, width=WIDTH) as service:
        yield service


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teacher_cache.teachers.openai_service.pace.FIRST_WAIT", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def example(prompt: str, **more: Any) -> Example:
    return Example(id=prompt, task="free", split="train", fields={}, prompt=prompt, **more)


def settings_of(service: Any, options: dict[str, str], **more: Any) -> TeacherSettings:
    reached = Service(base_url=service.url, max_retries=2, timeout=2)
    settings = TeacherSettings(
        name="parrot", store=("repr",), concurrency=8, service=reached, options=options
    )
    return replace(settings, **more)


def ask(settings: TeacherSettings, *examples: Example | str) -> Sequence[Answer]:
    async def answers() -> Sequence[Answer]:
        async with OpenAITeacher(settings) as teacher:
            return await teacher.answer([example(e) if isinstance(e, str) else e for e in examples])

    return asyncio.run(answers())


def test_rows_of_one_call_are_embedded_in_one_request(service: Any) -> None:
    settings = settings_of(service, {"dimensions": str(WIDTH)})
    together = ask(settings, "one", "two", "three")
    alone = [ask(settings, prompt)[0] for prompt in ("one", "two", "three")]

    assert service.questions[0]["input"] == ["one", "two", "three"]
    for one, other in zip(together, alone, strict=True):
        assert one.repr is not None
        assert one.repr.dtype == np.float32
        np.testing.assert_array_equal(one.repr, other.repr)
    assert [answer.usage for answer in alone] == [Usage(3, 0), Usage(3, 0), Usage(5, 0)]
    assert sum(answer.usage.prompt_tokens for answer in together if answer.usage) == 11
    assert OpenAITeacher(settings).identity.repr_dim == WIDTH


@pytest.mark.parametrize("bad", ["x" * 5000, ""])
def test_an_input_that_is_refused_leaves_its_neighbours_their_embeddings(service: Any, bad: str) -> None:
    first, refused, last = ask(settings_of(service, {"dimensions": str(WIDTH)}), "one", bad, "two")

    assert first.repr is not None
    assert last.repr is not None
    assert refused.error is not None
    assert refused.error.startswith("the service refused the row (400: ")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("other", "embeddings [1] in an answer to 1 texts"),
        ("500", "500: the service is tired"),
        ("half", "RemoteProtocol"),
    ],
)
def test_embeddings_of_other_texts_are_asked_for_again(service: Any, fault: str, said: str) -> None:
    settings = settings_of(service, {"dimensions": str(WIDTH)})
    (mended,), (broken,) = ask(settings, f"a <<{fault}*2>>"), ask(settings, f"b <<{fault}>>")

    assert mended.repr is not None
    assert broken.error is not None
    assert broken.error.startswith(f"given up after 3 tries, the last: {said}")


def test_a_service_that_is_away_costs_a_batch_its_tries_once(service: Any) -> None:
    service.script = ["503"] * 3
    answers = ask(settings_of(service, {"dimensions": str(WIDTH)}), "one", "two")

    assert {answer.error for answer in answers} == {
        "given up after 3 tries, the last: 503: the service is tired"
    }
    assert len(service.questions) == 3


def test_embeddings_of_another_width_are_refused_and_nothing_else_is_asked(service: Any) -> None:
    with pytest.raises(TeacherError, match=r"gives embeddings of 8 numbers.*; give --option dimensions=8"):
        ask(settings_of(service, {"dimensions": "4"}), "one", "two")
    assert len(service.questions) == 1


def test_a_model_of_one_width_alone_is_taken_at_that(
    service: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    service.refuses = ("dimensions",)

    (answer,) = ask(settings_of(service, {"dimensions": str(WIDTH)}), "one")
    assert answer.repr is not None
    assert "takes no dimensions" in capsys.readouterr().err


def test_pictures_and_conversations_are_embedded_by_vllm_alone(
    service: Any, vllm: Any, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    seen = Media("a.png", hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest())
    rows = (example("What?", media=(seen,)), example("x", messages=(Message("user", "Hi."),)), example("Hi."))
    options, media = {"dimensions": str(WIDTH)}, MediaSource(tmp_path)

    assert [a.error for a in ask(settings_of(vllm, options, media=media), *rows)] == [None] * 3
    *refused, text = ask(settings_of(service, options, media=media), *rows)
    assert {a.error for a in refused} == {
        "this service makes embeddings of texts, not of conversations or pictures"
    }
    assert text.repr is not None


def vision_model(kind: str, folder: Path) -> tuple[Path, int]:
    """A tiny model with random weights, saved as any is."""
    import torch
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPTextConfig,
        CLIPVisionConfig,
        ResNetConfig,
        ResNetModel,
        ViTConfig,
        ViTForImageClassification,
        ViTModel,
    )

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vit = ViTConfig(image_size=32, patch_size=16, **small)
    text = CLIPTextConfig(vocab_size=9, max_position_embeddings=8, bos_token_id=0, eos_token_id=1, **small)
    vision = CLIPVisionConfig(image_size=32, patch_size=16, **small)
    clip = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12)
    resnet = ResNetConfig(embedding_size=8, hidden_sizes=[8, 20], depths=[1, 1], layer_type="basic")
    made: dict[str, tuple[Any, int]] = {
        "vit": (ViTModel(vit), 16),
        "no-pooler": (ViTForImageClassification(vit), 16),
        "resnet": (ResNetModel(resnet), 20),
        "clip": (CLIPModel(clip), 12),
    }
    model, width = made[kind]
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size=size, do_center_crop=False).save_pretrained(folder)
    return folder, width


@pytest.mark.parametrize("kind", ["vit", "no-pooler", "resnet", "clip"])
def test_a_vision_model_gives_what_its_configuration_says(kind: str, tmp_path: Path) -> None:
    from PIL import Image

    folder, width = vision_model(kind, tmp_path)
    images = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    encoder = ImageEncoder(folder)
    encoder.load()
    together, again = encoder.encode(images), ImageEncoder(folder).encode(images[1:2])

    assert encoder.width == width
    assert together.shape == (3, width)
    # A second load gives the same, so nothing in it was made of noise.
    np.testing.assert_array_equal(together[1], again[0])
    assert together.std(axis=0).max() > 0
    assert set(encoder.hashes) == {
        "image_encoder/model.safetensors",
        "image_encoder/preprocessor_config.json",
    }


def test_a_folder_without_a_vision_model_is_refused(tmp_path: Path, fetched: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no config.json; give the folder of a vision model"):
        _ = ImageEncoder(tmp_path).width
    with pytest.raises(ConfigError, match=r"has no preprocessor_config.json"):
        _ = ImageEncoder(fetched / "models" / "minilm").hashes


def test_weights_that_are_missing_are_refused(tmp_path: Path) -> None:
    import safetensors.numpy

    folder, _ = vision_model("vit", tmp_path)
    file = folder / "model.safetensors"
    weights = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file(
        {name: value for name, value in weights.items() if "layernorm.weight" not in name},
        file,
        metadata={"format": "pt"},
    )

    with pytest.raises(TeacherError, match=r"has no weights for .*layernorm.weight; give a whole model"):
        ImageEncoder(folder).load()


def test_pictures_are_kept_and_turned_into_representations(service: Any, tmp_path: Path) -> None:
    folder, width = vision_model("vit", tmp_path / "vit")
    options = {"endpoint": "images", "image-encoder": str(folder), "image-size": "256x256"}
    settings = settings_of(service, options, media_folder=tmp_path / "media")
    rows = (
        "a red cat",
        "a blue dog",
        "by url",
        "a <<nopicture>>",
        "by far url",
        "a <<503*2>> hat",
        "no <<filter>>",
    )

    red, blue, fetched, none, away, hat, filtered = ask(settings, *rows)
    identity = OpenAITeacher(settings).identity
    for answer in (red, blue, fetched, hat):
        assert answer.error is None
        assert answer.repr is not None
        assert (answer.repr.shape, answer.repr.dtype) == ((width,), np.float16)
    assert not np.array_equal(red.repr, blue.repr)  # type: ignore[arg-type]
    assert red.usage == Usage(5, 100)
    assert none.error is not None
    assert none.error.startswith("the answer's picture is no picture that can be read: ")
    assert none.usage == Usage(5, 100)
    assert away.error == "the answer's picture is at a URL that is neither https nor the service's own"
    assert filtered.error is not None
    assert service.questions[0].items() >= {"size": "256x256", "response_format": "b64_json"}.items()
    assert (identity.repr_dim, identity.repr_dtype, identity.modality) == (width, "float16", "image")
    kept = {path.name for path in (tmp_path / "media").iterdir()}
    assert kept == {picture_name(row) for row in ("a red cat", "a blue dog", "by url", "a <<503*2>> hat")}


def test_a_picture_that_points_to_a_file_without_end_is_an_error_row(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teacher_cache.teachers.openai_service.images._MOST_BYTES", 10)
    folder, _ = vision_model("vit", tmp_path)

    (answer,) = ask(settings_of(service, {"endpoint": "images", "image-encoder": str(folder)}), "by url")
    assert answer.error == "the answer's picture has more than 10 bytes"
    assert "authorization" not in service.asked[-1].headers
