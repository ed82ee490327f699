"""Other families of pipelines than Stable Diffusion: the dimension known beforehand is the one that comes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.answer import Answer
from schemas.example import Example
from teacher_cache.teachers.diffusion.model import DiffusionTeacher
from teacher_cache.teachers.teacher import TeacherSettings
from tests.tiny_pipelines import write_flux, write_sdxl

# What makes it, and the latents along an edge of 64 pixels.
FAMILIES: dict[str, tuple[Callable[[Path], Path], int]] = {"sdxl": (write_sdxl, 8), "flux": (write_flux, 32)}
# diffusers' Euler scheduler speaks to NumPy 2 in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return FAMILIES[request.param][0](tmp_path_factory.mktemp("families") / request.param)


def ask(teacher: DiffusionTeacher, *texts: str) -> list[Answer]:
    rows = [Example(id=text, task="free", split="train", fields={}, prompt=text) for text in texts]

    async def answers() -> list[Answer]:
        async with teacher:
            return list(await teacher.answer(rows))

    return asyncio.run(answers())


@pytest.mark.parametrize("way", ["direct", "image-to-image"])
def test_the_latents_of_a_small_picture_are_kept_whatever_the_family(
    folder: Path, tmp_path: Path, way: str
) -> None:
    """With and without pictures, which pipelines hand over latents for in two different ways."""
    given = {"way": way, "steps": "3", "size": "64"}
    settings = TeacherSettings(name=str(folder), store=("repr",), options=given)
    keeping = TeacherSettings(
        name=str(folder), store=("repr",), options=given, media_folder=tmp_path, keep_media=True
    )
    plain, long = ask(DiffusionTeacher(settings), "a film", "word " * 40)
    kept, _ = ask(DiffusionTeacher(keeping), "a film", "word " * 40)

    wide = 4 * FAMILIES[folder.name][1] ** 2
    assert DiffusionTeacher(settings).identity.repr_dim == wide
    assert plain.repr is not None
    assert plain.repr.shape == (wide,)
    assert plain.repr.astype(np.float64).std() > 0
    assert np.array_equal(plain.repr, kept.repr)
    assert (plain.finish_reason, long.finish_reason) == (None, "cut at 77 tokens")
    assert len(list(tmp_path.iterdir())) == 2
