"""Embeddings that a service makes: rows of text in one request, rows with pictures each in its own."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.answer import Answer, Usage
from schemas.errors import TeacherError
from schemas.example import Example
from teacher_cache.teachers.openai_service.connection import Connection
from teacher_cache.teachers.openai_service.faults import (
    Bill,
    GivenUpError,
    RowError,
    TransientError,
    one_line,
)
from teacher_cache.teachers.openai_service.pace import estimate_tokens
from teacher_cache.teachers.openai_service.prompts import Prompts
from teacher_cache.teachers.openai_service.rows import rows_of
from teacher_cache.teachers.teacher import TeacherSettings

_PATH = "/embeddings"


class EmbeddingAnswers:
    """Asks a service for embeddings.

    Args:
        fixed: fields of every request.
        settings: of the teacher.
        width: numbers of an embedding.
        connection: to the service.
    """

    def __init__(
        self, fixed: dict[str, Any], settings: TeacherSettings, width: int, connection: Connection
    ) -> None:
        self._fixed = fixed | {"encoding_format": "float", "dimensions": width}
        self._width, self._connection = width, connection
        self._prompts = Prompts(media=settings.media)

    async def check(self) -> None:
        """The first answer shows how wide embeddings are."""

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """One embedding a row."""
        plain = [example for example in examples if not (example.media or example.messages)]
        if len(plain) < len(examples) or len(plain) == 1:
            return await rows_of(examples, self._answer)
        bill = Bill()
        try:
            found = await self._embeddings([example.prompt or "" for example in plain], bill)
        except GivenUpError as fault:
            error = one_line(fault)
            return [Answer(error=error, usage=share) for share in self._shares(bill, plain)]
        except RowError:
            # One of them is at fault; asked alone, it is known which.
            answers = await rows_of(plain, self._answer)
            shares = self._shares(bill, plain)
            return [
                replace(answer, usage=_sum(answer.usage, share))
                for answer, share in zip(answers, shares, strict=True)
            ]
        shares = self._shares(bill, plain)
        return [_stored(repr_D, share) for repr_D, share in zip(found, shares, strict=True)]

    def _shares(self, bill: Bill, examples: Sequence[Example]) -> list[Usage | None]:
        return _shares(bill.usage, [len(example.prompt or "") or 1 for example in examples])

    async def _answer(self, example: Example, bill: Bill) -> Answer:
        if not (example.media or example.messages):
            (found,) = await self._embeddings([example.prompt or ""], bill)
        elif self._connection.dialect.is_vllm:
            # As a prompt is read whose answer is to follow, and as models on this machine are pooled.
            fields = {"messages": await self._prompts.messages(example), "add_generation_prompt": True}
            tokens = estimate_tokens(len(example.prompt or ""), len(example.media), 0)
            (found,) = await self._ask(fields, 1, bill, tokens)
        else:
            raise RowError("this service makes embeddings of texts, not of conversations or pictures")
        return _stored(found, bill.usage)

    async def _embeddings(self, texts: Sequence[str], bill: Bill) -> list[NDArray[np.float32]]:
        tokens = estimate_tokens(sum(map(len, texts)), 0, 0)
        return await self._ask({"input": texts}, len(texts), bill, tokens)

    async def _ask(
        self, fields: dict[str, Any], num_rows: int, bill: Bill, tokens: int
    ) -> list[NDArray[np.float32]]:
        return await self._connection.ask(
            _PATH, self._fixed | fields, lambda body: self._read(body, num_rows), bill, tokens
        )

    def _read(self, body: dict[str, Any], num_rows: int) -> list[NDArray[np.float32]]:
        found = {item["index"]: _numbers(item["embedding"]) for item in body["data"]}
        if sorted(found) != list(range(num_rows)) or len(body["data"]) != num_rows:
            raise TransientError(f"embeddings {sorted(found)} in an answer to {num_rows} texts")
        for numbers in found.values():
            self._check_numbers(numbers)
        return [found[index] for index in range(num_rows)]

    def _check_numbers(self, numbers_D: NDArray[np.float32]) -> None:
        if numbers_D.shape != (self._width,):
            raise TeacherError(
                f"{self._connection.address.host} gives embeddings of {numbers_D.size} numbers, --option "
                f"dimensions is {self._width}; give --option dimensions={numbers_D.size}"
            )
        if not np.isfinite(numbers_D).all():
            raise TransientError("an embedding that is not all finite numbers")


def _numbers(told: Any) -> NDArray[np.float32]:
    if isinstance(told, str):
        # Some servers know this form alone, whatever they are asked for.
        return np.frombuffer(base64.b64decode(told, validate=True), "<f4")
    return np.array(told, np.float32)


def _stored(repr_D: NDArray[np.float32], usage: Usage | None) -> Answer:
    return Answer(repr=repr_D, usage=usage)


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return first or second
    return Usage(
        first.prompt_tokens + second.prompt_tokens, first.completion_tokens + second.completion_tokens
    )


def _shares(usage: Usage | None, weights: Sequence[int]) -> list[Usage | None]:
    """What each row cost, by its length; the shares sum to the whole."""
    if usage is None:
        return [None] * len(weights)
    ends = np.cumsum([0, *weights])
    parts = np.diff(ends * usage.prompt_tokens // ends[-1])
    return [Usage(int(part), 0) for part in parts]
