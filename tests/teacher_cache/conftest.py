"""A fast teacher in this process or in another, and small files of examples for it."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.teachers import BACKENDS

REPOSITORY = Path(__file__).resolve().parents[2]
FAST = Path(__file__).with_name("fast_teacher.py")
SPLITS = ["train"] * 7 + ["validation"] * 2 + ["test"]


@pytest.fixture
def prompts(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of examples: of each ten, 7 in train, 2 in validation, 1 in test."""

    def write(rows: int = 40, name: str = "prompts.jsonl", **more: object) -> Path:
        path = tmp_path / name
        path.write_text(
            "".join(json.dumps(_line(index) | more) + "\n" for index in range(rows)), encoding="utf-8"
        )
        return path

    return write


def _line(index: int) -> dict[str, object]:
    return {
        "example_id": f"row-{index}",
        "task": "movie-sentiment",
        "split": SPLITS[index % 10],
        "fields": {"text": f"Sentence number {index}, {'x' * (index % 17)}."},
        "label": index % 2,
    }


@pytest.fixture(scope="session")
def fast_teacher() -> ModuleType:
    """The script beside this file, as a module."""
    spec = importlib.util.spec_from_file_location("fast_teacher", FAST)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def teachers(fast_teacher: ModuleType) -> Iterator[list[Any]]:
    """Register the fast teacher; gives those that were made, the newest last."""
    made: list[Any] = []

    def make(settings: Any) -> Any:
        made.append(fast_teacher.FastTeacher(settings))
        return made[-1]

    fast_teacher.register(make)
    yield made
    BACKENDS.pop("fast", None)


@pytest.fixture
def run(teachers: list[Any], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run stage one in this process with the fast teacher."""

    def cache(prompts: Path, **options: Any) -> dict[str, Any]:
        given = {
            "model": "fast:",
            "out": tmp_path / "cache",
            "rows_per_shard": 10,
            "workers": 2,
            "quiet": True,
        }
        return cache_teacher(CacheConfig(prompts=prompts, **(given | options)))

    return cache


@pytest.fixture
def command() -> Callable[..., list[str]]:
    """The command line that runs stage one in another process with the fast teacher."""

    def line(prompts: Path, out: Path, *more: str) -> list[str]:
        given = [
            "--model",
            "fast:",
            "--prompts",
            str(prompts),
            "--out",
            str(out),
            "--workers",
            "2",
            "--quiet",
        ]
        return [sys.executable, str(FAST), *given, *more]

    return line


@pytest.fixture
def environment() -> Callable[..., dict[str, str]]:
    """The environment of such a process."""
    return lambda **more: os.environ | {"PYTHONPATH": str(REPOSITORY)} | more


@pytest.fixture
def shard_bytes() -> Callable[[Path], dict[str, bytes]]:
    """What must be equal however a run was interrupted: shards and statistics."""

    def read(folder: Path) -> dict[str, bytes]:
        names = [*folder.glob("*.parquet"), *folder.glob("*.safetensors")]
        return {path.name: path.read_bytes() for path in sorted(names)}

    return read
