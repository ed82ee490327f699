"""Foreign JSON lines, with the line's number in every complaint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import SourceError
from teacher_cache.readers.lines import read_lines


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of a file, each with its place; blank lines are passed over.

    Raises:
        SourceError: the file cannot be read, or a line is no JSON object.
    """
    for number, text in read_lines(path):
        if text.strip():
            place = f"{path}, line {number}"
            yield place, _object(place, text)


def _object(place: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{place}: no JSON ({error}); the file may be cut short, fetch it again") from None
    if not isinstance(found, dict):
        raise SourceError(f"{place}: {text[:40]!r} is no JSON object; give one a line")
    return found
