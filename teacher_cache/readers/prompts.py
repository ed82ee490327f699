"""`--prompts FILE`: which format it is, by its name and its first bytes, and its rows to examples."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from schemas.errors import SourceError
from teacher_cache.readers.delimited import delimited_rows
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.json_text import goes_on
from teacher_cache.readers.jsonl import own_row
from teacher_cache.readers.lines import open_source, read_lines
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.messages import messages_row
from teacher_cache.readers.openai_batch import BatchReader
from teacher_cache.readers.parquet import read_parquet
from teacher_cache.readers.prompt_row import PromptRow
from teacher_cache.readers.reading import Reading

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_PARQUET = ".parquet"
_FIRST_BYTES = {b"PAR1": _PARQUET, b"\x1f\x8b": ".gz", b"PK\x03\x04": ".zip", b"\x28\xb5\x2f\xfd": ".zst"}


def read_prompts(path: Path, task_name: str | None, settings: Mapping[str, object]) -> Reading:
    """Read a file of prompts.

    Args:
        path: of the file; media paths are relative to its folder.
        task_name: the task; None takes the rows' own, or `free`.
        settings: options of this run by name, which the parameters of batch lines must agree with.

    Raises:
        SourceError: the file is missing, empty, of no known format, or a row is not as it should be.
    """
    suffix = _format_of(path)
    gathering = Gathering(path=path, task_name=task_name, media=MediaReader(path.parent))
    if suffix == _PARQUET:
        return read_parquet(path, gathering)
    if suffix in _DELIMITERS:
        for place, row in delimited_rows(path, _DELIMITERS[suffix], gathering.task_of):
            gathering.add(place, row)
        return gathering.done()
    return _read_lines_of_json(path, gathering, settings)


def _format_of(path: Path) -> str:
    if path.exists() and not (path.is_file() or path.is_dir()):
        return _JSON_LINES[0]  # a pipe can be read only once, so it is taken for these unseen
    with open_source(path) as file:
        head = file.read(64)
    found = next((suffix for first, suffix in _FIRST_BYTES.items() if head.startswith(first)), None)
    suffix = found or path.suffix.lower()
    if suffix in (_PARQUET, *_DELIMITERS, *_JSON_LINES):
        return suffix
    if found:
        raise SourceError(f"{path} is compressed ({found}); unpack it first")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return _JSON_LINES[0]
    raise SourceError(
        f"{path}: {suffix or 'a name without an ending'} is no format that is read; "
        "give .jsonl, .csv, .tsv or .parquet"
    )


def _read_lines_of_json(path: Path, gathering: Gathering, settings: Mapping[str, object]) -> Reading:
    batch = BatchReader(settings)
    kinds: dict[str, Callable[[str, str], PromptRow]] = {
        "body": batch.row,
        "messages": messages_row,
        "fields": own_row,
    }
    read: Callable[[str, str], PromptRow] | None = None
    for number, text in _written(path):
        if read is None:
            _check_one_object(f"{path}, line {number}", text.strip())
            read = kinds[_kind(text)]
        gathering.add(f"line {number}", read(f"{path}, line {number}", text))
    return gathering.done(*batch.notices())


def _written(path: Path) -> Iterable[tuple[int, str]]:
    return ((number, text) for number, text in read_lines(path) if text.strip())


def _check_one_object(where: str, first_line: str) -> None:
    if first_line.startswith("["):
        raise SourceError(f"{where}: an array begins; write JSON lines, one object a line")
    if goes_on(first_line):
        raise SourceError(
            f"{where}: the object does not end in its line; write JSON lines, one object a line"
        )


def _kind(first_line: str) -> str:
    """What the lines of the file are, by the keys of the first: a file has lines of one kind."""
    try:
        keys = json.loads(first_line)
    except (ValueError, RecursionError):
        keys = {}
    return next((kind for kind in ("body", "messages") if isinstance(keys, dict) and kind in keys), "fields")
