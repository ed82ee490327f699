"""Given answers, scored by a vLLM server: nothing is written, the answer is a part of the prompt.

Prompt and answer are made into tokens apart and joined, so the answer begins where a written one would. With
pictures only the server knows a prompt's tokens: there the answer is the last, unfinished turn, and its
tokens are those that follow the same prompt without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from schemas.answer import Answer
from schemas.errors import TeacherError
from schemas.example import Example
from teacher_cache.teachers.openai_service.connection import Connection
from teacher_cache.teachers.openai_service.entries import ToldToken, scored_tokens
from teacher_cache.teachers.openai_service.faults import Bill, RowError, TransientError
from teacher_cache.teachers.openai_service.options import Endpoint
from teacher_cache.teachers.openai_service.pace import estimate_tokens
from teacher_cache.teachers.openai_service.prompts import Prompts
from teacher_cache.teachers.openai_service.rows import rows_of
from teacher_cache.teachers.openai_service.vocabulary import AS_ID, Vocabulary
from teacher_cache.teachers.scored_tokens import ScoredTokens
from teacher_cache.teachers.teacher import WHOLE_VOCABULARY, TeacherSettings

_CHAT, _COMPLETIONS, _TOKENIZE = "/chat/completions", "/completions", "/tokenize"
_PROBE = Example(id="probe", task="free", split="train", fields={}, prompt="Say yes.", answer_to_score="yes")


class ScoredAnswers:
    """Asks a vLLM server what it thinks of given answers.

    Args:
        endpoint: `chat` renders prompts by the model's template, `completions` takes them as they are.
        fixed: fields of every request.
        settings: of the teacher.
        vocabulary: of the model.
        connection: to the server.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        fixed: dict[str, Any],
        settings: TeacherSettings,
        vocabulary: Vocabulary,
        connection: Connection,
    ) -> None:
        self._is_chat = endpoint == "chat"
        self._entries, self._vocabulary = settings.entries, vocabulary
        self._fixed = fixed
        self._scored = fixed | {"temperature": 0, "prompt_logprobs": settings.entries.top_k}
        self._prompts = Prompts(settings.generation.system, settings.media)
        self._connection = connection

    async def check(self) -> None:
        """Score one answer.

        Raises:
            TeacherError: the service is no vLLM server, or gives fewer entries.
        """
        host, top_k = self._connection.address.host, self._entries.top_k
        if not self._connection.dialect.is_vllm:
            raise TeacherError(
                f"--score: {host} is no vLLM server, and no other service scores given answers; serve an "
                "open model with vLLM, or use the backend transformers"
            )
        try:
            await self._answer(_PROBE, Bill())
        except RowError as fault:
            raise TeacherError(
                f"{host} scores no answers with --top-k {top_k}: {fault}; give a lower --top-k, or serve "
                "with --max-logprobs"
            ) from None

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """The tokens of each row's given answer."""
        return await rows_of(examples, self._answer)

    async def _answer(self, example: Example, bill: Bill) -> Answer:
        if not example.answer_to_score:
            raise RowError("there is no answer to score")
        ask = self._continued if example.media else self._joined
        scored = await ask(example, example.answer_to_score, bill)
        return replace(scored.answer(self._entries.codec), usage=bill.usage)

    async def _joined(self, example: Example, answer: str, bill: Bill) -> ScoredTokens:
        if self._is_chat:
            prompt = {"messages": await self._prompts.messages(example), "add_generation_prompt": True}
        else:
            prompt = {"prompt": self._prompts.text(example)}
        prompt_ids = await self._tokens(prompt, bill)
        answer_ids = await self._tokens({"prompt": answer, "add_special_tokens": False}, bill)
        ids = [*prompt_ids, *answer_ids]
        body = self._scored | {"prompt": ids, "echo": True, "max_tokens": 0}

        def read(body: dict[str, Any]) -> ScoredTokens:
            return self._span(ids, body["choices"][0]["prompt_logprobs"], len(prompt_ids))

        return await self._connection.ask(_COMPLETIONS, body, read, bill, len(ids))

    async def _tokens(self, question: Mapping[str, Any], bill: Bill) -> list[int]:
        # Extra fields may change how the server renders a conversation.
        body = {**self._fixed, **question}
        url = self._connection.address.at(_TOKENIZE)
        return await self._connection.ask(url, body, lambda body: [int(i) for i in body["tokens"]], bill)

    async def _continued(self, example: Example, answer: str, bill: Bill) -> ScoredTokens:
        if not self._is_chat:
            self._prompts.text(example)  # says why not
        messages = await self._prompts.messages(example)
        tokens = estimate_tokens(len(example.prompt or ""), len(example.media), 1)
        one_token = {"max_tokens": 1, "temperature": 0, "return_token_ids": True}
        prompt = self._fixed | one_token | {"messages": messages}
        before = await self._connection.ask(
            _CHAT, prompt, lambda body: list(body["prompt_token_ids"]), bill, tokens
        )
        whole = {
            "messages": [*messages, {"role": "assistant", "content": answer}],
            "add_generation_prompt": False,
            "continue_final_message": True,
        }

        def read(body: dict[str, Any]) -> ScoredTokens:
            ids = body["prompt_token_ids"]
            if ids[: len(before)] != before:
                raise RowError("the answer's first token cannot be told from the prompt's last")
            return self._span(ids, body["prompt_logprobs"], len(before))

        return await self._connection.ask(_CHAT, self._scored | one_token | whole, read, bill, tokens)

    def _span(self, ids: Sequence[int], told: Sequence[Any], start: int) -> ScoredTokens:
        """The tokens from a place on, of what was told of all: entries by id, with the token's own."""
        if len(told) != len(ids):
            raise TransientError(f"log-probabilities of {len(told)} tokens, {len(ids)} were asked about")
        if start == len(ids):
            raise RowError("there is no answer to score")
        tokens = [self._told(i, entries) for i, entries in zip(ids[start:], told[start:], strict=True)]
        return scored_tokens(tokens, self._entries, self._vocabulary.size)

    def _told(self, token: int, entries: Mapping[str, Mapping[str, Any]]) -> ToldToken:
        # A token that is none of the most probable is told beside them; its rank gives it away.
        top_k = self._entries.top_k
        kept = {i: e for i, e in entries.items() if top_k == WHOLE_VOCABULARY or e["rank"] <= top_k}
        ids = [self._vocabulary.id_of(f"{AS_ID}{i}") for i in kept]
        return ToldToken(token, entries[str(token)]["logprob"], ids, [e["logprob"] for e in kept.values()])
