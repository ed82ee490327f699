"""`transformers:` with encoders of pictures: the first picture of a row becomes its representation."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.answer import Answer
from schemas.errors import ArmadaError, ConfigError, TeacherError
from schemas.example import Example, Media
from teacher_cache.media import MediaSource
from teacher_cache.teachers.local.choice import make_local_teacher
from teacher_cache.teachers.local.vision import VisionTeacher
from teacher_cache.teachers.teacher import TeacherSettings
from tests.tiny_vision import png_of, write_clip, write_resnet

KINDS: dict[str, tuple[Callable[[Path], Path], int]] = {
    "resnet": (write_resnet, 20),
    "clip": (lambda folder: write_clip(folder, tower=False), 12),
    "clip's tower": (lambda folder: write_clip(folder, tower=True), 16),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source folder with two posters, and a file that is none."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png_of(name))
    (tmp_path / "text.png").write_bytes(b"no picture")
    return tmp_path


def row(root: Path, *names: str) -> Example:
    media = tuple(Media(name, hashlib.sha256((root / name).read_bytes()).hexdigest()) for name in names)
    plot = f"Plot of {'-'.join(names)}."
    return Example(id=plot, task="free", split="train", fields={"plot": plot}, media=media, prompt=plot)


def settings_of(folder: Path, root: Path) -> TeacherSettings:
    return TeacherSettings(name=str(folder), store=("repr",), media=MediaSource(root))


def ask(settings: TeacherSettings, rows: Sequence[Example]) -> list[Answer]:
    async def answers() -> list[Answer]:
        async with make_local_teacher(settings) as teacher:
            return list(await teacher.answer(rows))

    return asyncio.run(answers())


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_first_picture_is_pooled_as_the_model_pools(kind: str, tmp_path: Path, root: Path) -> None:
    from PIL import Image

    from teacher_cache.teachers.local.image_encoder import ImageEncoder

    write, width = KINDS[kind]
    folder = write(tmp_path / "tiny")
    settings = settings_of(folder, root)
    identity = make_local_teacher(settings).identity
    first, second, both = ask(settings, [row(root, "a.png"), row(root, "b.png"), row(root, "b.png", "a.png")])

    assert isinstance(make_local_teacher(settings), VisionTeacher)
    assert (identity.repr_dim, identity.modality, identity.name) == (width, "image", "tiny")
    with Image.open(root / "a.png") as image:
        (wanted,) = ImageEncoder(folder).encode([image.convert("RGB")])
    for one, other in ((first.repr, wanted.astype(np.float16)), (second.repr, both.repr)):
        assert one is not None
        assert np.array_equal(one, other)
    assert not np.array_equal(first.repr, second.repr)


def test_rows_whose_picture_cannot_be_seen_are_errors(tmp_path: Path, root: Path) -> None:
    folder = write_resnet(tmp_path / "tiny")
    bare, broken, gone, good = (
        row(root),
        row(root, "text.png"),
        replace(row(root, "a.png"), id="gone", media=(Media("nowhere.png", "0" * 64),)),
        row(root, "a.png"),
    )
    answers = ask(settings_of(folder, root), [bare, broken, gone, good])

    assert answers[0].error == "the row has no picture"
    assert "is no picture that can be read" in str(answers[1].error)
    assert "nowhere.png is not there" in str(answers[2].error)
    assert answers[3].error is None
    assert answers[3].repr is not None


def test_what_such_a_model_cannot_give_is_refused(tmp_path: Path, root: Path) -> None:
    folder = write_resnet(tmp_path / "tiny")
    settings = settings_of(folder, root)

    with pytest.raises(ConfigError, match=r"--store text: tiny sees pictures and gives no text"):
        make_local_teacher(replace(settings, store=("text",)))
    with pytest.raises(ConfigError, match=r"has no such option; it has: device, revision"):
        make_local_teacher(replace(settings, options={"pooling": "mean"}))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ArmadaError, match=r"--model transformers: .*tiny has no preprocessor_config.json"):
        make_local_teacher(settings)
    (folder / "model.safetensors").rename(folder / "model.bin")
    with pytest.raises(TeacherError, match=r"model.bin is a pickle"):
        make_local_teacher(settings)


def test_a_cache_of_posters_is_made_from_the_command(tmp_path: Path, root: Path) -> None:
    from teacher_cache.cache import cache_teacher
    from teacher_cache.config import CacheConfig

    folder = write_resnet(tmp_path / "tiny")
    lines = [
        {"example_id": name, "split": "train", "fields": {"plot": name}, "media": [f"{name}.png"]}
        for name in ("a", "b", "text")
    ]
    (root / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = cache_teacher(
        CacheConfig(
            model=f"transformers:{folder}",
            prompts=root / "rows.jsonl",
            out=tmp_path / "cache",
            store=("repr",),
            quiet=True,
        )
    )

    assert (done["rows"], done["errors"]) == (3, 1)
