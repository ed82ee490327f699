"""A batch of examples through a loaded model: prompts, each signal that is stored, one answer a row."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.answer import Answer, Usage, joined_reasons
from schemas.example import Example
from teacher_cache.teachers.local.architecture import Architecture, Kind
from teacher_cache.teachers.local.batch import Inputs, alike, collate, with_answers
from teacher_cache.teachers.local.generation import Written, write_texts
from teacher_cache.teachers.local.loading import LoadedModel
from teacher_cache.teachers.local.options import Pooling
from teacher_cache.teachers.local.prompts import Prompt, PromptError, PromptReader
from teacher_cache.teachers.local.states import parts_to_score, pool, score
from teacher_cache.teachers.scored_tokens import Recorder
from teacher_cache.teachers.teacher import TeacherSettings

_NUM_THREADS = min(16, os.cpu_count() or 1)
NO_NUMBERS = "the model's logits are no finite numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How prompts are written and read, decided once.

    Attributes:
        chat: whether the chat template is used.
        layer: whose hidden states are pooled.
        pooling: how.
        repr_dtype: of a stored representation.
    """

    chat: bool
    layer: int
    pooling: Pooling
    repr_dtype: Literal["float16", "float32"]


class LocalAnswers:
    """Asks a loaded model.

    Args:
        loaded: the model.
        shape: of the model.
        reading: how it is asked.
        settings: what of it is stored.
        left: set when no more is wanted.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        shape: Architecture,
        reading: Reading,
        settings: TeacherSettings,
        left: Event,
    ) -> None:
        self._loaded, self._shape, self._reading = loaded, shape, reading
        self._generation, self._entries, self._left = settings.generation, settings.entries, left
        self._stores = frozenset(settings.store)
        self._scores = "logprobs" in self._stores and self._entries.given_answers
        self._records = "logprobs" in self._stores and not self._scores
        self._writes = "text" in self._stores or self._records
        self._reader = PromptReader(
            tokenizer=loaded.tokenizer,
            processor=loaded.processor,
            chat=reading.chat,
            system=self._generation.system,
            scores=self._scores,
            room=self._generation.max_tokens if self._writes else 0,
            context=shape.context,
            media=settings.media,
        )

    def answer(self, examples: Sequence[Example]) -> list[Answer]:
        """Answer the rows, those with equally many pictures in one batch."""
        answers: dict[str, Answer] = {}
        prompts: list[Prompt] = []
        for example in examples:
            try:
                prompts.append(self._reader.read(example))
            except PromptError as error:
                answers[example.id] = Answer(error=str(error))
        with torch.inference_mode():
            for group in alike(prompts):
                answers |= self._ask(group)
        return [answers[example.id] for example in examples]

    def _ask(self, prompts: Sequence[Prompt]) -> dict[str, Answer]:
        """Ask for each signal in turn; a row whose signal failed is an error and nothing else."""
        inputs = self._collated(prompts)
        read = {
            prompt.example_id: Answer(usage=Usage(len(prompt.ids) + len(prompt.answer_ids), 0))
            for prompt in prompts
        }
        steps: list[tuple[bool, Callable[[Sequence[Prompt], Inputs], Sequence[Answer]]]] = [
            ("repr" in self._stores, self._pooled),
            (self._scores, self._scored),
            (self._writes, self._written),
        ]
        for wanted, step in steps:
            if wanted:
                for prompt, more in zip(prompts, step(prompts, inputs), strict=True):
                    read[prompt.example_id] = merged(read[prompt.example_id], more)
        return read

    def _collated(self, prompts: Sequence[Prompt]) -> Inputs:
        loaded = self._loaded
        inputs = collate(
            prompts,
            loaded.pad,
            loaded.processor,
            left=self._shape.kind is not Kind.ENCODER,
            special=not self._reading.chat,
        )
        model = loaded.model
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _pooled(self, _prompts: Sequence[Prompt], inputs: Inputs) -> list[Answer]:
        pooled_BD = pool(self._loaded.model, inputs, self._reading.layer, self._reading.pooling)
        return [stored_state(values_D, self._reading.repr_dtype) for values_D in pooled_BD.cpu().numpy()]

    def _scored(self, prompts: Sequence[Prompt], inputs: Inputs) -> list[Answer]:
        vocab_size = self._shape.vocab_size or 1
        answers: list[Answer] = []
        for part in parts_to_score(prompts, vocab_size):
            whole = len(part) == len(prompts)
            own = with_answers(inputs if whole else self._collated(part), part, self._loaded.pad)
            recorders = [Recorder(self._entries, prompt.example_id) for prompt in part]
            with ThreadPoolExecutor(_NUM_THREADS) as threads:
                sound = score(self._loaded.model, own, part, recorders, threads)
            answers += [
                recorder.scored().answer(self._entries.codec) if good else Answer(error=NO_NUMBERS)
                for recorder, good in zip(recorders, sound, strict=True)
            ]
        return answers

    def _written(self, prompts: Sequence[Prompt], inputs: Inputs) -> list[Answer]:
        """Write all samples, one after another, so that a batch takes the memory of its rows alone."""
        ids = [prompt.example_id for prompt in prompts]
        recorders = [Recorder(self._entries, i) for i in ids] if self._records else []
        num_samples = self._generation.num_samples if "text" in self._stores else 1
        with ThreadPoolExecutor(_NUM_THREADS) as threads:
            samples = [
                write_texts(
                    self._loaded.model,
                    inputs,
                    ids,
                    self._generation,
                    sample=sample,
                    ends=self._loaded.ends,
                    pad=self._loaded.pad,
                    recorders=recorders if sample == 0 else [],
                    threads=threads,
                    left=self._left,
                )
                for sample in range(num_samples)
            ]
        rows = [self._as_answer(written) for written in zip(*samples, strict=True)]
        if not recorders:
            return rows
        return [
            row if row.error else merged(row, recorder.scored().answer(self._entries.codec))
            for row, recorder in zip(rows, recorders, strict=True)
        ]

    def _as_answer(self, samples: Sequence[Written]) -> Answer:
        if any(sample.failed for sample in samples):
            return Answer(error=NO_NUMBERS)
        texts = tuple(self._loaded.tokenizer.decode(s.ids, skip_special_tokens=True) for s in samples)
        return Answer(
            texts=texts if "text" in self._stores else None,
            usage=Usage(0, sum(len(sample.ids) for sample in samples)),
            finish_reason=joined_reasons(["stop" if sample.ended else "length" for sample in samples]),
        )


def stored_state(values_D: NDArray[np.float32], dtype: Literal["float16", "float32"]) -> Answer:
    """A pooled hidden state as it is stored, or why it cannot be."""
    with np.errstate(over="ignore"):
        stored_D = values_D.astype(dtype)
    if np.isfinite(stored_D).all():
        return Answer(repr=stored_D)
    if np.isfinite(values_D).all():
        largest = np.abs(values_D).max()
        return Answer(error=f"a hidden state of {largest:g} is more than {stored_D.dtype} can hold")
    return Answer(error="the model's hidden states are no finite numbers")


def merged(one: Answer, other: Answer) -> Answer:
    """The signals of both; an error in either is all there is."""
    if one.error or other.error:
        return Answer(error=one.error or other.error)
    usage = one.usage
    if usage is not None and other.usage is not None:
        added = other.usage
        usage = Usage(
            usage.prompt_tokens + added.prompt_tokens, usage.completion_tokens + added.completion_tokens
        )
    given = {
        name: value
        for name in other.__dataclass_fields__
        if name != "usage" and (value := getattr(other, name)) is not None
    }
    return replace(one, usage=usage or other.usage, **given)
