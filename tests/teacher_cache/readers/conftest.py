"""Files of prompts written by a test, and read back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from teacher_cache.readers.prompts import read_prompts
from teacher_cache.readers.reading import Reading


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Reading]:
    """Write a file and read it: text or bytes as they are, anything else as a line of JSON each."""

    def written(name: str, *content: Any, task: str | None = None, **settings: object) -> Reading:
        path = tmp_path / name
        lines = [line if isinstance(line, str | bytes) else json.dumps(line) + "\n" for line in content]
        path.write_bytes(b"".join(line.encode() if isinstance(line, str) else line for line in lines))
        return read_prompts(path, task, settings)

    return written
