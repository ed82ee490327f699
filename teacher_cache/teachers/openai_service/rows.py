"""Rows side by side: each is answered or has its error, and what ends all of them ends them at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from schemas.answer import Answer
from schemas.example import Example
from teacher_cache.media import MediaError
from teacher_cache.teachers.openai_service.address import Key
from teacher_cache.teachers.openai_service.faults import Bill, RowError, one_line


class Answers(Protocol):
    """One endpoint of a service, asked for what is stored."""

    async def check(self) -> None:
        """Find out whether the service gives it, before the first row.

        Raises:
            TeacherError: it does not.
        """
        ...

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Answer the rows; see `Teacher.answer`."""
        ...


AnswerRow = Callable[[Example, Bill], Awaitable[Answer]]


def without_key(answer: Answer, key: Key) -> Answer:
    """An answer in which nothing that the service said shows the key."""
    return replace(
        answer,
        texts=None if answer.texts is None else tuple(map(key.scrub_text, answer.texts)),
        finish_reason=None if answer.finish_reason is None else key.scrub(answer.finish_reason),
        error=None if answer.error is None else key.scrub(answer.error),
    )


async def row_of(example: Example, answer: AnswerRow) -> Answer:
    """Answer one row; its faults become its error, beside what it was charged for."""
    bill = Bill()
    try:
        return await answer(example, bill)
    except (RowError, MediaError) as fault:
        return Answer(error=one_line(fault), usage=bill.usage)


async def rows_of(examples: Sequence[Example], answer: AnswerRow) -> Sequence[Answer]:
    """Answer rows at once, in order; an exception of one stops the others before it is passed on."""
    if len(examples) == 1:
        return [await row_of(examples[0], answer)]
    tasks = [asyncio.create_task(row_of(example, answer)) for example in examples]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
