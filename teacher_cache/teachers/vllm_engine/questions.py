"""From a prompt to the requests that give what is stored of its answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

from schemas.answer import Answer, Usage
from teacher_cache.teachers.local.answers import merged
from teacher_cache.teachers.local.prompts import Prompt, PromptReader
from teacher_cache.teachers.openai_service.texts import row_seed
from teacher_cache.teachers.teacher import TeacherSettings
from teacher_cache.teachers.vllm_engine.engine import Question
from teacher_cache.teachers.vllm_engine.hook import Watch, Watches
from teacher_cache.teachers.vllm_engine.options import VllmOptions
from teacher_cache.teachers.vllm_engine.outputs import own_logprobs, pooled, told, with_tokens, written


class VllmPromptReader(PromptReader):
    """Leaves pictures to vLLM, which puts as many tokens as they need in the place of each one's mark."""

    __slots__ = ()

    def _tokens(self, text: str, images: list[Any]) -> list[int]:
        if not text.strip():
            return []
        # The marks of pictures are special tokens.
        return self._ids(text, special=not self.chat, plain=not (self.chat or images))


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Makes requests.

    Attributes:
        reader: of prompts.
        settings: of the teacher.
        options: of the backend.
        vocab_size: of the model's logits; 1 of an encoder, which has none.
        repr_dtype: of stored representations.
        watches: of the engine that writes.
    """

    reader: PromptReader
    settings: TeacherSettings
    options: VllmOptions
    vocab_size: int
    repr_dtype: Literal["float16", "float32"]
    watches: Watches

    @cached_property
    def records(self) -> bool:
        """Whether log-probabilities are stored."""
        return "logprobs" in self.settings.store

    @cached_property
    def scores(self) -> bool:
        """Whether they are those of given answers."""
        return self.records and self.settings.entries.given_answers

    @cached_property
    def writes(self) -> bool:
        """Whether anything is generated."""
        return "text" in self.settings.store or (self.records and not self.scores)

    @cached_property
    def watching(self) -> bool:
        """Whether whole distributions are looked at."""
        return self.options.watches(self.settings)

    def of_engine(self, prompt: Prompt) -> Iterator[Question]:
        """What the engine that writes is asked."""
        if self.scores:
            yield self._forced(prompt) if self.watching else self._scored(prompt)
        if self.writes:
            yield self._written(prompt)

    def of_pooling(self, prompt: Prompt) -> Question:
        """What the engine that pools is asked."""
        from vllm import PoolingParams  # pyright: ignore[reportMissingImports]

        def read(output: Any) -> Answer:
            # A prompt that is written to as well is counted there.
            counts = not (self.writes or self.scores)
            usage = Answer(usage=Usage(len(output.prompt_token_ids), 0)) if counts else Answer()
            return merged(usage, pooled(output, self.repr_dtype))

        return self._question(prompt, prompt.ids, PoolingParams(task="embed"), read)

    def _scored(self, prompt: Prompt) -> Question:
        ids, num_answer = [*prompt.ids, *prompt.answer_ids], len(prompt.answer_ids)
        entries, num_entries = self.settings.entries, self._num_entries

        def read(output: Any) -> Answer:
            places = range(len(output.prompt_token_ids) - num_answer, len(output.prompt_token_ids))
            usage = Answer(usage=Usage(len(output.prompt_token_ids), 0))
            return merged(usage, told(output.prompt_logprobs, places, entries, self.vocab_size))

        params = _sampling(temperature=0, max_tokens=1, prompt_logprobs=num_entries)
        return self._question(prompt, ids, params, read, num_answer)

    def _forced(self, prompt: Prompt) -> Question:
        """Write the given answer token by token: no more than one distribution is there at a time."""
        ids = prompt.answer_ids
        watch = Watch(entries=self.settings.entries, example_id=prompt.example_id, given=ids)

        def read(output: Any) -> Answer:
            usage = Answer(usage=Usage(len(output.prompt_token_ids) + len(ids), 0))
            return merged(usage, self._watched(watch, len(ids)))

        params = _sampling(
            temperature=0, max_tokens=len(ids), ignore_eos=True, extra_args=self.watches.add(watch)
        )
        return self._question(prompt, prompt.ids, params, read, len(ids))

    def _written(self, prompt: Prompt) -> Question:
        fields = self._of_generation(prompt)
        keeps_texts = "text" in self.settings.store
        read: Callable[[Any], Answer] = partial(
            written, tokenizer=self.reader.tokenizer, keeps_texts=keeps_texts
        )
        if self.records:
            read, more = self._recording(prompt, read, fields.get("seed"))
            fields |= more
        return self._question(prompt, prompt.ids, _sampling(**fields), read)

    def _of_generation(self, prompt: Prompt) -> dict[str, Any]:
        generation = self.settings.generation
        fields: dict[str, Any] = {
            "temperature": generation.temperature,
            "max_tokens": generation.max_tokens,
            "n": generation.num_samples if "text" in self.settings.store else 1,
        }
        if generation.temperature:
            fields["seed"] = row_seed(generation.seed, prompt.example_id, 0)
        return fields

    def _recording(
        self, prompt: Prompt, read_texts: Callable[[Any], Answer], seed: int | None
    ) -> tuple[Callable[[Any], Answer], dict[str, Any]]:
        """How texts are read beside their log-probabilities, and what is asked for it."""
        if not self.watching:

            def read_told(output: Any) -> Answer:
                flat = output.outputs[0].logprobs
                return merged(
                    read_texts(output), told(flat, range(len(flat)), self.settings.entries, self.vocab_size)
                )

            return read_told, {"logprobs": self._num_entries}
        watch = Watch(
            entries=self.settings.entries,
            example_id=prompt.example_id,
            seed=seed,
            temperature=self._watched_temperature,
        )

        def read_watched(output: Any) -> Answer:
            first = output.outputs[0]
            return merged(
                read_texts(output),
                self._watched(watch, len(first.token_ids), first.token_ids, first.logprobs),
            )

        return read_watched, {"logprobs": 0, "extra_args": self.watches.add(watch)}

    def _watched(
        self, watch: Watch, num_tokens: int, ids: Sequence[int] | None = None, flat: Any = None
    ) -> Answer:
        if watch.fault is not None:
            return Answer(error=watch.fault)
        scored = watch.scored(num_tokens)
        if ids is not None:
            scored = with_tokens(scored, ids, own_logprobs(flat))
        return scored.answer(self.settings.entries.codec)

    @property
    def _num_entries(self) -> int:
        return min(self.settings.entries.top_k, self.vocab_size)

    @property
    def _watched_temperature(self) -> float:
        is_raw = self.options.logprobs_mode == "raw_logprobs"
        return 1.0 if is_raw else self.settings.generation.temperature or 1.0

    def _question(
        self,
        prompt: Prompt,
        ids: list[int],
        params: Any,
        read: Callable[[Any], Answer],
        num_answer: int = 0,
    ) -> Question:
        asked: dict[str, Any] = {"prompt_token_ids": ids}
        if prompt.images:
            asked["multi_modal_data"] = {"image": prompt.images}
        num_given = num_answer if len(ids) > len(prompt.ids) else 0

        def check(num_tokens: int) -> None:
            self.reader.check_length(num_tokens - num_given, num_answer)

        return Question(row=prompt.example_id, prompt=asked, params=params, check=check, read=read)


def _sampling(**fields: Any) -> Any:
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    return SamplingParams(
        flat_logprobs=True, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY, **fields
    )
