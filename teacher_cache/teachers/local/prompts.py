"""From an example to the tokens that a local model reads, or to the reason why it reads none."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.example import Example, Message
from teacher_cache.media import MediaError, MediaSource

if TYPE_CHECKING:
    from PIL.Image import Image


class PromptError(Exception):
    """An example that this model cannot be asked; the message is the row's error."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is read for one example.

    Attributes:
        example_id: of the row.
        text: as rendered by the chat template.
        ids: its tokens; where a picture is, as many as the model makes of it.
        images: in the order of their places in the text.
        answer_ids: tokens of the answer to score; empty where none is scored.
    """

    example_id: str
    text: str
    ids: list[int]
    images: list["Image"]
    answer_ids: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReader:
    """Turns examples into prompts.

    Prompt and answer are made into tokens apart and joined, so the answer's span begins where a generated
    answer would. The answer's tokens are its own: no special token is put before it, and no end of turn
    after it, since an answer that was cut short has none.

    Attributes:
        tokenizer: of the model.
        processor: of a model that sees; None of others.
        chat: whether the chat template is used.
        system: what stands before the conversation, unless that begins with a system's turn of its own.
        scores: whether each row has an answer to score.
        room: tokens kept free for a generated text.
        context: most tokens that the model takes; None is no limit.
        media: where pictures come from.
    """

    tokenizer: Any
    processor: Any = None
    chat: bool
    system: str | None = None
    scores: bool = False
    room: int = 0
    context: int | None = None
    media: MediaSource | None = None

    def read(self, example: Example) -> Prompt:
        """Read an example.

        Raises:
            PromptError: there is nothing to read, too much of it, or a picture that cannot be seen.
        """
        images = self._images(example)
        text = self._rendered(example) if self.chat else self._plain(example)
        ids = self._tokens(text, images)
        if not ids:
            raise PromptError("the prompt is empty")
        answer_ids = self._answer(example) if self.scores else []
        self.check_length(len(ids), len(answer_ids))
        return Prompt(example.id, text, ids, images, answer_ids)

    def _images(self, example: Example) -> list["Image"]:
        if not example.media:
            return []
        if self.processor is None:
            raise PromptError("this model reads text alone, and the example has media")
        if self.media is None:
            raise PromptError("the source has no folder for media")
        try:
            return [self.media.load_image(item) for item in example.media]
        except MediaError as error:
            raise PromptError(str(error)) from None

    def _rendered(self, example: Example) -> str:
        turns = example.messages or (Message("user", example.prompt or "", len(example.media)),)
        if self.system is not None and turns[0].role != "system":
            turns = (Message("system", self.system), *turns)
        writer = self.tokenizer if self.processor is None else self.processor
        try:
            return writer.apply_chat_template(
                [self._turn(turn) for turn in turns], tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # noqa: BLE001 - a template raises what its author wrote, and jinja's own
            raise PromptError(f"the chat template refuses this conversation: {one_line(error)}") from None

    def _turn(self, turn: Message) -> dict[str, Any]:
        if self.processor is None:
            return {"role": turn.role, "content": turn.content}
        parts: list[dict[str, str]] = [{"type": "image"}] * turn.num_media
        return {"role": turn.role, "content": [*parts, {"type": "text", "text": turn.content}]}

    def _plain(self, example: Example) -> str:
        if example.messages:
            raise PromptError("a conversation needs a chat template, and this model is asked without one")
        marks = getattr(self.processor, "image_token", "") * len(example.media)
        return (f"{self.system}\n\n" if self.system is not None else "") + marks + (example.prompt or "")

    def _tokens(self, text: str, images: list["Image"]) -> list[int]:
        # A template writes the special tokens itself.
        special = not self.chat
        if not images:
            return self._ids(text, special=special) if text.strip() else []
        try:
            return self.processor(text=[text], images=[images], add_special_tokens=special)["input_ids"][0]
        except Exception as error:  # noqa: BLE001 - each model's processor has checks and errors of its own
            raise PromptError(f"the model's processor refuses this example: {one_line(error)}") from None

    def _ids(self, text: str, *, special: bool) -> list[int]:
        # Not verbose: a text that is too long is said in its row, not on the terminal.
        return self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]

    def _answer(self, example: Example) -> list[int]:
        ids = self._ids(example.answer_to_score or "", special=False)
        if not ids:
            raise PromptError("there is no answer to score")
        return ids

    def check_length(self, num_prompt: int, num_answer: int) -> None:
        """Refuse what does not fit the context.

        Args:
            num_prompt: tokens of the prompt.
            num_answer: tokens of the answer to score.

        Raises:
            PromptError: it does not fit.
        """
        if self.context is None or num_prompt + max(self.room, num_answer) <= self.context:
            return
        beside = ""
        if num_answer > self.room:
            beside = f" and the answer to score {num_answer}"
        elif self.room:
            beside = f", --max-tokens is {self.room}"
        raise PromptError(
            f"the prompt has {num_prompt} tokens{beside}; the model's context is {self.context} in all"
        )


def one_line(error: Exception) -> str:
    """An error's message, short and without line breaks."""
    return " ".join(str(error).split())[:200]
