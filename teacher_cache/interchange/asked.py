"""`--prompts` of an import: what was asked, by id."""

import json
from pathlib import Path

from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.lines import read_lines
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.openai_batch import BatchReader
from teacher_cache.readers.prompts import read_prompts
from teacher_cache.readers.reading import Reading

_QUESTIONS = ("messages", "prompt", "input")


def read_asked(path: Path, task: str | None) -> Reading:
    """Read a file of prompts, or the input of a batch.

    How a batch was to be answered stands in its input beside each question. It was answered, so that is left
    out, where `cache-teacher` would have to ask in the same way or refuse.

    Raises:
        SourceError: the file cannot be read, or a row is not as it should be.
    """
    if path.suffix in (".jsonl", ".ndjson", ".json") and path.is_file() and _is_batch(path):
        return _read_batch(path, task)
    return read_prompts(path, task, {})


def _is_batch(path: Path) -> bool:
    first = next((text for _, text in read_lines(path) if text.strip()), "")
    return isinstance(_question(first), str)


def _question(text: str) -> str | None:
    """A batch line with nothing but the question; None where it is none."""
    try:
        line = json.loads(text)
        body = line["body"]
        kept = {name: body[name] for name in _QUESTIONS if name in body}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return json.dumps(line | {"body": kept}, ensure_ascii=False)


def _read_batch(path: Path, task: str | None) -> Reading:
    reader = BatchReader({})
    gathering = Gathering(path=path, task_name=task, media=MediaReader(path.parent))
    for number, text in read_lines(path):
        if text.strip():
            row = reader.row(f"{path}, line {number}", _question(text) or text)
            gathering.add(f"line {number}", row)
    return gathering.done()
