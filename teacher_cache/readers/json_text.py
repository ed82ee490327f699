"""JSON out of a text, stricter than the library: a key stands once, a number is one, a text can be stored."""

import json
from collections.abc import Sequence
from typing import Any, Never


def read_json(text: str) -> Any:
    """The value that a text is.

    Raises:
        ValueError: it is no JSON that can be stored; the message says why, and at which character.
    """
    try:
        value = strict_decoder().decode(text)
        check_storable(value, text)
    except json.JSONDecodeError as error:
        # The library counts lines of its own, which are not those of the file.
        raise ValueError(
            f"Invalid JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}"
        ) from None
    except RecursionError:
        raise ValueError("Invalid JSON: lists or objects too deep inside each other") from None
    return value


def strict_decoder() -> json.JSONDecoder:
    """A decoder that refuses a key that stands twice and what is no number, each with a ValueError."""
    return json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)


def check_storable(value: object, text: str) -> None:
    """Refuse a value with half of a surrogate pair, which only an escape in its text can have brought.

    Raises:
        ValueError: there is one.
    """
    if "\\u" not in text:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(
            "Invalid JSON: half of a surrogate pair (\\ud800 to \\udfff), which no text has"
        ) from None


def goes_on(text: str) -> bool:
    """Whether a text begins an object that does not end in it."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return text.startswith("{") and error.pos >= len(text.rstrip())
    except (ValueError, RecursionError):
        return False
    return False


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Invalid JSON: the key {twice[:80]!r} stands twice in one object")
    return found


def _no_number(name: str) -> Never:
    raise ValueError(f"Invalid JSON: {name} is no number")
