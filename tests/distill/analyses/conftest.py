"""Finished runs on a tiny cache: one of armada, one undistilled, one beside a frozen aligner."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill.config import resolve
from distill.trainer import fit
from schemas.cache import TeacherCache

OPTIONS = {
    "batch_size": 16,
    "epochs": 2,
    "max_length": 32,
    "precision": "fp32",
    "hidden_dim": 16,
    "lr": 1e-3,
    "seed": 1,
}
OF_ALIGNER = ("hidden_dim",)


@pytest.fixture(scope="session")
def train(tiny_student: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Train one more: `train(cache, **options)` to its folder."""

    def make(cache: TeacherCache, **options: Any) -> Path:
        folder = tmp_path_factory.mktemp("run")
        given = {"task": "movie-sentiment", "student": str(tiny_student), **OPTIONS, **options}
        if given.get("method") == "undistilled":
            given = {name: value for name, value in given.items() if name not in OF_ALIGNER}
        fit(resolve(given, "audio"), cache, folder, quiet=True)
        return folder

    return make


@pytest.fixture(scope="session")
def armada(cache: TeacherCache, train: Callable[..., Path]) -> Path:
    return train(cache)


@pytest.fixture(scope="session")
def undistilled(cache: TeacherCache, train: Callable[..., Path]) -> Path:
    return train(cache, method="undistilled")


@pytest.fixture(scope="session")
def frozen(cache: TeacherCache, train: Callable[..., Path]) -> Path:
    return train(cache, schedule="frozen")
