"""JSON objects out of a publisher's file, one a line or all in one array, each with the line it begins in."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import SourceError
from teacher_cache.readers.json_text import check_storable, strict_decoder
from teacher_cache.readers.lines import read_lines, read_text

Record = Mapping[str, Any]


def read_records(path: Path) -> Iterator[tuple[str, Record]]:
    """Objects with their places, `line 3`.

    Raises:
        SourceError: the file is missing, empty, not UTF-8, or holds what is no JSON object.
    """
    opening = next((text.lstrip()[:1] for _, text in read_lines(path) if text.strip()), "")
    found = _of_array(path) if opening == "[" else _of_lines(path)
    for number, value in found:
        if not isinstance(value, dict):
            raise SourceError(
                f"{path}, line {number}: {_kind(value)}, an object {{...}} is wanted; mend the file"
            )
        yield f"line {number}", value


def read_object(path: Path) -> Record:
    """The one object that a file is.

    Raises:
        SourceError: the file is missing, not UTF-8, or holds something else.
    """
    text = read_text(path)
    try:
        value = strict_decoder().decode(text)
        check_storable(value, text)
    except json.JSONDecodeError as error:
        raise SourceError(f"{path}, line {error.lineno}: {_told(error)}; mend the file") from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: {_told(error)}; mend the file") from None
    if not isinstance(value, dict):
        raise SourceError(f"{path}: {_kind(value)}, an object {{...}} is wanted; mend the file")
    return value


def text_of(where: str, record: Record, key: str) -> str:
    """A text of a record.

    Raises:
        SourceError: there is none.
    """
    value = record.get(key)
    if isinstance(value, str):
        return value
    found = f"its {key!r} is {_kind(value)}" if key in record else f"no {key!r} among {_keys(record)}"
    raise SourceError(f"{where}: {found}, a text is wanted; mend the record, or give another file")


def _of_lines(path: Path) -> Iterator[tuple[int, Any]]:
    decoder = strict_decoder()
    for number, text in read_lines(path):
        if not text.strip():
            continue
        try:
            value = decoder.decode(text)
            check_storable(value, text)
        except json.JSONDecodeError as error:
            place = f"{path}, line {number}, character {error.pos + 1}"
            raise SourceError(f"{place}: Invalid JSON: {error.msg}; mend the line") from None
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}, line {number}: {_told(error)}; mend the line") from None
        yield number, value


def _of_array(path: Path) -> Iterator[tuple[int, Any]]:
    """Items one by one, so that each is known by the line it begins in."""
    text, decoder = read_text(path), strict_decoder()
    position, line, counted = _skip(text, _skip(text, 0) + 1), 1, 0
    if text[position : position + 1] == "]":
        raise SourceError(f"{path} is an empty array, at least one example is wanted")
    while True:
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, end = decoder.raw_decode(text, position)
            check_storable(value, text[position:end])
        except json.JSONDecodeError as error:
            raise SourceError(f"{path}, line {error.lineno}: {_told(error)}; mend the file") from None
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}, line {line}: {_told(error)}; mend the file") from None
        yield line, value
        position = _skip(text, end)
        mark, after = text[position : position + 1], _skip(text, position + 1)
        if mark == "]" and after == len(text):
            return
        if mark != ",":
            ended = line + text.count("\n", counted, position)
            raise SourceError(
                f"{path}, line {ended}: the array does not go on with a comma or end; mend the file"
            )
        position = after


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _told(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"Invalid JSON: {error.msg}"
    return "Invalid JSON: lists or objects too deep" if isinstance(error, RecursionError) else str(error)


def _kind(value: object) -> str:
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a truth value",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _keys(record: Record) -> str:
    return ", ".join(map(repr, list(record)[:12])) or "no keys"
