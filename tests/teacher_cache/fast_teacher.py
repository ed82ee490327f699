"""A teacher that answers at once and always the same, and the command that knows it, for cache-teacher.

The environment says how it behaves: FAST_DELAY seconds a call, FAST_FAIL ids (commas between) that fail,
FAST_LOG a file that gets a line for each row asked, FAST_CHARGES that a row is charged 10 and 2 tokens.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from schemas.answer import Answer, Usage
from schemas.example import Example
from schemas.manifest import TeacherIdentity
from teacher_cache.teachers import BACKENDS, Backend, TeacherSettings
from teacher_cache.teachers.scored_tokens import from_distributions

WIDTH, VOCABULARY = 16, 60


class FastTeacher:
    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        self._store = settings.store
        self.identity = TeacherIdentity(
            backend="fast",
            name=settings.name or "fast",
            revision="1",
            modality="audio",
            repr_dim=WIDTH,
            repr_dtype="float16",
            vocab_size=VOCABULARY,
        )
        self._entries = settings.entries
        self.asked: list[str] = []
        self.delay = float(os.environ.get("FAST_DELAY", "0"))
        self.failing = set(filter(None, os.environ.get("FAST_FAIL", "").split(",")))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        # Rows come back in another order than they are asked, as from any service.
        await asyncio.sleep(self.delay * (1 + len(examples[0].id) % 3) if examples else 0)
        self.asked += [example.id for example in examples]
        _log(examples)
        return [self._answer(example) for example in examples]

    def _answer(self, example: Example) -> Answer:
        if example.id in self.failing:
            return Answer(error="the fast teacher was told to fail")
        random = np.random.default_rng(sum((example.prompt or "").encode()))
        said = Answer()
        if "logprobs" in self._store:
            logits_TV = random.normal(size=(3, VOCABULARY)) * 4
            logprobs_TV = logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True))
            ids_T = logprobs_TV.argmax(axis=1).astype(np.int32)
            tokens = from_distributions(ids_T, logprobs_TV, self._entries, example.id)
            said = tokens.answer(self._entries.codec)
        return replace(
            said,
            usage=Usage(10, 2) if "FAST_CHARGES" in os.environ else None,
            repr=random.normal(size=WIDTH).astype(np.float16) if "repr" in self._store else None,
            texts=(f"heard: {example.prompt}",) if "text" in self._store else None,
        )


def _log(examples: Sequence[Example]) -> None:
    if log := os.environ.get("FAST_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write("".join(f"{example.id}\n" for example in examples))


def register(make: Any = FastTeacher) -> None:
    BACKENDS["fast"] = Backend(
        make=make,
        signals=("text", "repr", "logprobs"),
        default_signals=("repr",),
        default_batch_size=3,
        generates=True,
        whole_distribution=True,
        sorts_by_length="FAST_SORTS" in os.environ,
    )


if __name__ == "__main__":
    from teacher_cache.cli import main

    sys.argv[0] = "cache-teacher"
    register()
    main()
