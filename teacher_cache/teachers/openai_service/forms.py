"""The two endpoints that write texts: how each is asked, and how its choices are read."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from schemas.example import Example
from teacher_cache.teachers.openai_service.entries import ToldToken
from teacher_cache.teachers.openai_service.faults import RowError, TransientError
from teacher_cache.teachers.openai_service.prompts import Prompts
from teacher_cache.teachers.openai_service.vocabulary import Vocabulary

Choice = Mapping[str, Any]


class Form(Protocol):
    """An endpoint that writes."""

    @property
    def path(self) -> str:
        """Below the base URL."""
        ...

    async def question(self, prompts: Prompts, example: Example) -> dict[str, Any]:
        """The fields of a request that the row fills."""
        ...

    def entries(self, num_entries: int) -> dict[str, Any]:
        """The fields that ask for so many log-probabilities a token."""
        ...

    def text(self, choice: Choice) -> str:
        """What was written.

        Raises:
            RowError: it was refused.
        """
        ...

    def told(self, choice: Choice, vocabulary: Vocabulary) -> Sequence[ToldToken]:
        """What was told of its tokens."""
        ...


class ChatForm:
    """`/chat/completions`."""

    path = "/chat/completions"

    async def question(self, prompts: Prompts, example: Example) -> dict[str, Any]:
        """A conversation."""
        return {"messages": await prompts.messages(example)}

    def entries(self, num_entries: int) -> dict[str, Any]:
        """As the chat endpoint spells it."""
        return {"logprobs": True, "top_logprobs": num_entries}

    def text(self, choice: Choice) -> str:
        """The assistant's turn."""
        message = choice["message"]
        if refusal := message.get("refusal"):
            raise RowError(f"the service refused to answer: {refusal}")
        text = message.get("content")
        if text is None:
            raise RowError(
                f"the service wrote no text (finish_reason {choice.get('finish_reason')}); "
                "a model that reasons may need a higher --max-tokens"
            )
        return text

    def told(self, choice: Choice, vocabulary: Vocabulary) -> Sequence[ToldToken]:
        """Each token with its entries; bytes are told beside texts."""
        told = choice.get("logprobs")
        if not told or told.get("content") is None:
            raise TransientError("no log-probabilities in the answer")

        def id_of(entry: Mapping[str, Any]) -> int:
            return vocabulary.id_of(entry["token"], entry.get("bytes"))

        return [
            ToldToken(
                id_of(token),
                token["logprob"],
                [id_of(entry) for entry in token["top_logprobs"]],
                [entry["logprob"] for entry in token["top_logprobs"]],
            )
            for token in told["content"]
        ]


class CompletionsForm:
    """`/completions`, the older endpoint, which goes on with a text."""

    path = "/completions"

    async def question(self, prompts: Prompts, example: Example) -> dict[str, Any]:
        """A text."""
        return {"prompt": prompts.text(example)}

    def entries(self, num_entries: int) -> dict[str, Any]:
        """As the older endpoint spells it."""
        return {"logprobs": num_entries}

    def text(self, choice: Choice) -> str:
        """How the text goes on."""
        return choice["text"]

    def told(self, choice: Choice, vocabulary: Vocabulary) -> Sequence[ToldToken]:
        """Each token with its entries, keyed by texts."""
        told = choice.get("logprobs")
        if not told:
            raise TransientError("no log-probabilities in the answer")
        rows = zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True)
        return [
            ToldToken(
                vocabulary.id_of(token), logprob, [vocabulary.id_of(text) for text in top], list(top.values())
            )
            for token, logprob, top in rows
        ]
