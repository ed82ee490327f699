"""What can go wrong with one request, and whom it concerns: the request, its row, or all of them.

RequestError
├── TransientError     asking again may help
├── RefusedParameterError   a setting that the service does not know; asking without it may help
└── RowError           this row cannot be answered; the message is its error
    └── GivenUpError        because it was asked often enough

What concerns all rows is a `TeacherError`: nothing is asked any more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.answer import Usage

_LONGEST = 400
_INT32_END = 2**31


class RequestError(Exception):
    """Root of what can happen to one request."""


class TransientError(RequestError):
    """A fault that may be gone the next time.

    Args:
        cause: in a few words.
        retry_after: seconds that the service asks everyone to wait; None where it does not say.
        is_reached: whether the service was there at all.
    """

    def __init__(self, cause: str, retry_after: float | None = None, *, is_reached: bool = True) -> None:
        super().__init__(cause)
        self.retry_after = retry_after
        self.is_reached = is_reached


class RefusedParameterError(RequestError):
    """The service refuses a parameter of the request, whatever row it is for.

    Args:
        name: of the parameter, as it was sent.
        words: the service's own.
    """

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


class RowError(RequestError):
    """A row that cannot be answered."""


class GivenUpError(RowError):
    """A row that was asked as often as is allowed."""


@dataclass(slots=True)
class Bill:
    """What a row was charged for, over all the requests that it took.

    Attributes:
        prompt_tokens: so far.
        completion_tokens: so far.
        is_charged: whether any answer said what it cost.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_charged: bool = False

    def add(self, body: Mapping[str, Any]) -> int:
        """Add what the answer says it cost; tokens of this answer."""
        usage = body.get("usage")
        if not isinstance(usage, dict):
            return 0
        prompt = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
        completion = _count(usage.get("completion_tokens", usage.get("output_tokens")))
        told = [count for count in (prompt, completion) if count is not None]
        self.prompt_tokens += prompt or 0
        self.completion_tokens += completion or 0
        self.is_charged = self.is_charged or bool(told)
        return sum(told)

    @property
    def usage(self) -> Usage | None:
        """For the row; None where no answer said anything."""
        if not self.is_charged:
            return None
        return Usage(*(min(n, _INT32_END - 1) for n in (self.prompt_tokens, self.completion_tokens)))


def _count(value: object) -> int | None:
    """A number of tokens; None where none is told, or none that can be."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value) if 0 <= value < _INT32_END else None


def one_line(words: object) -> str:
    """A message as one line of Unicode, cut where it goes on for long."""
    line = " ".join(str(words).encode("utf-8", "replace").decode().split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def words_of(body: object) -> str:
    """What a service says in the body of a refusal, whichever of the usual shapes it has."""
    if isinstance(body, dict):
        body = body.get("error", body)
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return one_line(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))
