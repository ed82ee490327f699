"""Writing texts with a local model, each row by a randomness of its own.

Letters: B rows, T tokens written, V vocabulary.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import torch
from torch import Tensor

from teacher_cache.teachers.local.batch import Inputs, distributions
from teacher_cache.teachers.scored_tokens import Recorder
from teacher_cache.teachers.teacher import Generation


class LeftError(Exception):
    """The teacher is left while it writes."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for one row.

    Attributes:
        ids: tokens, the one that ended the text among them.
        ended: whether the model ended it, and not the limit.
        failed: whether the model's logits were no numbers.
    """

    ids: list[int]
    ended: bool
    failed: bool


@dataclass(slots=True, kw_only=True)
class TokenChooser:
    """Chooses each row's next token; stands where transformers' `generate` has its logits processors.

    `generate` draws from one generator for all rows, so a row's text would depend on its neighbours. Here
    `generate` is left to take the most probable token of what this gives it, and this gives it one: at
    temperature 0 the most probable, else the one at which the cumulated probabilities pass a number between
    0 and 1. That number follows from the seed, the row's id, the sample and the position (Philox, keyed by
    the SHA-256 of the first three).

    Attributes:
        random: a generator a row; empty at temperature 0.
        temperature: divides the logits before a token is chosen.
        ends: ids that end a text.
        recorders: one a row, told the model's own distributions; empty records none.
        threads: rows are recorded side by side, since to choose entries takes longer than a GPU's step.
        left: set when the teacher is left.
        failed: rows with logits that are no numbers, bool, (B,).
        ended: rows whose text has ended, bool, (B,).
    """

    random: Sequence[np.random.Generator]
    temperature: float
    ends: frozenset[int]
    recorders: Sequence[Recorder]
    threads: Executor
    left: Event
    failed: list[bool] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - transformers' signature
        """Leave one token possible in each row.

        Args:
            input_ids: tokens so far.
            scores: the model's logits of the next, float32, (B, V).
        """
        if self.left.is_set():
            raise LeftError
        self._note_failures(scores)
        chosen_B = self._drawn(scores) if self.random else scores.argmax(dim=-1)
        chosen = chosen_B.tolist()
        if self.recorders:
            self._record(scores, chosen)
        self.ended = [done or token in self.ends for done, token in zip(self.ended, chosen, strict=True)]
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen_B[:, None], 0.0)

    def _note_failures(self, logits_BV: Tensor) -> None:
        if not self.failed:
            self.failed = [False] * len(logits_BV)
            self.ended = [False] * len(logits_BV)
        # The largest is NaN where any is.
        wrong = (~logits_BV.amax(dim=-1).isfinite()).tolist()
        self.failed = [
            before or (now and not done)
            for before, now, done in zip(self.failed, wrong, self.ended, strict=True)
        ]

    def _drawn(self, logits_BV: Tensor) -> Tensor:
        cumulative_BV = (logits_BV.double() / self.temperature).softmax(dim=-1).cumsum(dim=-1)
        whole_B1 = cumulative_BV[:, -1:].contiguous()
        numbers = [[generator.random()] for generator in self.random]
        below_B1 = torch.tensor(numbers, dtype=torch.float64, device=logits_BV.device) * whole_B1
        # Rounding must not reach the end: tokens of no probability may stand there.
        below_B1 = torch.minimum(below_B1, torch.nextafter(whole_B1, torch.zeros_like(whole_B1)))
        places_B1 = torch.searchsorted(cumulative_BV, below_B1, right=True)
        return places_B1[:, 0].clamp(max=logits_BV.shape[1] - 1)

    def _record(self, logits_BV: Tensor, chosen: list[int]) -> None:
        logprobs_BV = distributions(logits_BV)

        def record(row: int) -> None:
            self.recorders[row].add([chosen[row]], logprobs_BV[row : row + 1])

        going = [row for row in range(len(chosen)) if not (self.ended[row] or self.failed[row])]
        # To take the results is to raise what went wrong in a thread.
        list(self.threads.map(record, going))


def write_texts(
    model: Any,
    inputs: Inputs,
    ids: Sequence[str],
    generation: Generation,
    *,
    sample: int,
    ends: frozenset[int],
    pad: int,
    recorders: Sequence[Recorder],
    threads: Executor,
    left: Event,
) -> list[Written]:
    """Write one text a row.

    Args:
        model: with a causal language-model head.
        inputs: prompts, padded on the left.
        ids: of the rows.
        generation: how to write.
        sample: which of a row's texts this is.
        ends: ids that end a text.
        pad: id of the padding.
        recorders: one a row, told the distributions that tokens were chosen from; or none.
        threads: which record.
        left: when set, no more is written.

    Raises:
        LeftError: `left` was set.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    chooser = TokenChooser(
        random=[] if generation.temperature == 0 else [row_random(generation.seed, i, sample) for i in ids],
        temperature=generation.temperature,
        ends=ends,
        recorders=recorders,
        threads=threads,
        left=left,
    )
    config = GenerationConfig(
        max_new_tokens=generation.max_tokens,
        do_sample=False,
        eos_token_id=sorted(ends) or None,
        pad_token_id=pad,
    )
    processors = LogitsProcessorList([chooser])  # pyright: ignore[reportArgumentType] - any callable will do
    tokens = model.generate(**inputs, generation_config=config, logits_processor=processors)
    written = tokens[:, inputs["input_ids"].shape[1] :].tolist()
    return [Written(*_cut(row, ends), failed) for row, failed in zip(written, chooser.failed, strict=True)]


def _cut(row: list[int], ends: frozenset[int]) -> tuple[list[int], bool]:
    """What stands before the padding, and whether the text has an end."""
    end = next((place for place, token in enumerate(row) if token in ends), None)
    return (row, False) if end is None else (row[: end + 1], True)


def row_random(seed: int, example_id: str, sample: int) -> np.random.Generator:
    """The random numbers of one text, whoever its neighbours are and whenever it is asked."""
    key = hashlib.sha256(json.dumps([seed, example_id, sample]).encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
