"""Texts that a service writes, and what it tells of the tokens of the first."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.answer import Answer, joined_reasons
from schemas.errors import TeacherError
from schemas.example import Example
from teacher_cache.teachers.openai_service.connection import Connection
from teacher_cache.teachers.openai_service.entries import ToldToken, scored_tokens
from teacher_cache.teachers.openai_service.faults import Bill, RowError, TransientError, one_line
from teacher_cache.teachers.openai_service.forms import ChatForm, Choice, Form
from teacher_cache.teachers.openai_service.pace import estimate_tokens
from teacher_cache.teachers.openai_service.prompts import Prompts
from teacher_cache.teachers.openai_service.rows import rows_of
from teacher_cache.teachers.openai_service.vocabulary import Vocabulary
from teacher_cache.teachers.teacher import WHOLE_VOCABULARY, TeacherSettings

_PROBE = Example(id="probe", task="free", split="train", fields={}, prompt="Say yes.")


@dataclass(frozen=True, slots=True)
class Written:
    """One choice.

    Attributes:
        text: as written.
        finish_reason: in the service's words.
        told: of its tokens; empty where it was not asked for.
    """

    text: str
    finish_reason: str | None
    told: Sequence[ToldToken] = ()


class TextAnswers:
    """Asks a service to write.

    Args:
        form: of the endpoint.
        fixed: fields of every request.
        settings: of the teacher.
        vocabulary: of the model; None where no log-probabilities are stored.
        connection: to the service.
    """

    def __init__(
        self,
        form: Form,
        fixed: dict[str, Any],
        settings: TeacherSettings,
        vocabulary: Vocabulary | None,
        connection: Connection,
    ) -> None:
        generation = settings.generation
        self._form, self._vocabulary, self._connection = form, vocabulary, connection
        self._generation, self._entries, self._store = generation, settings.entries, settings.store
        self._num_samples = generation.num_samples if "text" in settings.store else 1
        self._prompts = Prompts(generation.system, settings.media)
        self._fixed = fixed | {"temperature": generation.temperature, "max_tokens": generation.max_tokens}
        if vocabulary is not None:
            self._fixed |= form.entries(self._num_entries)
            if connection.dialect.is_vllm:
                self._fixed |= {"return_tokens_as_token_ids": True, "return_token_ids": True}

    @property
    def _num_entries(self) -> int:
        top_k = self._entries.top_k
        # vLLM's chat lists the sampled token among the entries, where it may take the place of the last.
        is_chat = self._form.path == ChatForm.path
        is_crowded = is_chat and self._connection.dialect.is_vllm and self._generation.temperature > 0
        return top_k + 1 if is_crowded and top_k != WHOLE_VOCABULARY else top_k

    async def check(self) -> None:
        """Ask for one token with its entries.

        Raises:
            TeacherError: there are fewer than asked for, or none.
        """
        if self._vocabulary is None:
            return
        host, wanted = self._connection.address.host, self._num_entries
        try:
            body = self._fixed | {"max_tokens": 1} | await self._form.question(self._prompts, _PROBE)
            told = await self._connection.ask(self._form.path, body, self._read_probe, Bill())
        except RowError as fault:
            raise TeacherError(
                f"{host} gives no log-probabilities with --top-k {self._entries.top_k}: {fault}; give a "
                "lower --top-k, or store texts alone"
            ) from None
        given = min((len(token.ids) for token in told), default=wanted)
        if given < min(wanted, self._vocabulary.size):
            raise TeacherError(
                f"{host} gives {given} entries a token, --top-k {self._entries.top_k} asks for {wanted}; "
                f"give --top-k {given - (wanted - self._entries.top_k)}"
            )

    def _read_probe(self, body: dict[str, Any]) -> Sequence[ToldToken]:
        choice = body["choices"][0]
        if not choice.get("logprobs"):
            raise RowError("its answer has none")
        return self._told(choice)

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """All texts of each row."""
        return await rows_of(examples, self._answer)

    async def _answer(self, example: Example, bill: Bill) -> Answer:
        question = self._fixed | await self._form.question(self._prompts, example)
        written: list[Written] = []
        while (left := self._num_samples - len(written)) > 0:
            body = question | self._sampling(example, len(written), left)
            tokens = estimate_tokens(
                len(example.prompt or ""), len(example.media), left * self._generation.max_tokens
            )
            read = self._reader(left, tells=self._vocabulary is not None and not written)
            # A service may give fewer choices than asked for, and is asked again for the others.
            written += await self._connection.ask(self._form.path, body, read, bill, tokens)
        answer = self._scored(written[0])
        texts = tuple(choice.text for choice in written) if "text" in self._store else None
        reasons = joined_reasons([choice.finish_reason for choice in written])
        return replace(answer, texts=texts, usage=bill.usage, finish_reason=reasons)

    def _sampling(self, example: Example, num_written: int, left: int) -> dict[str, Any]:
        fields: dict[str, Any] = {"n": left} if left > 1 else {}
        if self._generation.temperature > 0:
            fields["seed"] = row_seed(self._generation.seed, example.id, num_written)
        return fields

    def _scored(self, first: Written) -> Answer:
        if self._vocabulary is None:
            return Answer()
        return scored_tokens(first.told, self._entries, self._vocabulary.size).answer(self._entries.codec)

    def _reader(self, most: int, *, tells: bool) -> Any:
        def read(body: dict[str, Any]) -> list[Written]:
            choices = sorted(body["choices"], key=lambda choice: choice.get("index") or 0)
            if not 0 < len(choices) <= most:
                raise TransientError(f"{len(choices)} choices in the answer, {most} asked for")
            return [self._read(choice, tells=tells and not place) for place, choice in enumerate(choices)]

        return read

    def _read(self, choice: Choice, *, tells: bool) -> Written:
        reason = choice.get("finish_reason")
        if reason == "content_filter":
            raise RowError("the service's content filter kept the answer back")
        text = self._form.text(choice)
        text.encode()  # half a character cannot be stored
        reason = None if reason is None else one_line(reason)
        return Written(text, reason, self._told(choice) if tells else ())

    def _told(self, choice: Choice) -> Sequence[ToldToken]:
        assert self._vocabulary is not None, "the caller has looked"
        told = self._form.told(choice, self._vocabulary)
        ids = choice.get("token_ids")
        if ids is not None and list(ids) != [token.id for token in told]:
            raise TransientError("log-probabilities of other tokens than those that were written")
        # What is wrong with them is found here, where asking again may help.
        scored_tokens(told, self._entries, self._vocabulary.size)
        return told


def row_seed(seed: int, example_id: str, sample: int) -> int:
    """Seed of a row's samples from the given one on; 31 bits, which every service takes."""
    key = hashlib.sha256(json.dumps([seed, example_id, sample]).encode()).digest()
    return int.from_bytes(key[:4], "little") >> 1
