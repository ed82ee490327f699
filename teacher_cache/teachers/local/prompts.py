"""From an example to the tokens that a local model reads, or to the reason why it reads none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
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

    What a row says is text for the model, never a control token. Without a chat template, text that spells a
    special token is made into tokens like any other. In a rendered conversation the template's own marks
    could not be told from the row's, so there a row that spells one is refused, as is one with pictures.

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
    _special: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Learn which texts are special tokens."""
        added = self.tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special} | set(self.tokenizer.all_special_tokens)
        special.add(getattr(self.processor, "image_token", ""))
        object.__setattr__(self, "_special", tuple(sorted(special - {""})))

    def read(self, example: Example) -> Prompt:
        """Read an example.

        Raises:
            PromptError: there is nothing to read, too much of it, or a picture that cannot be seen.
        """
        if not (example.messages or example.media or (example.prompt or "").strip()):
            raise PromptError("the prompt is empty")
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
        for turn in turns:
            self._check_plain(f"the {turn.role}'s message", turn.content)
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
        system = f"{self.system}\n\n" if self.system is not None else ""
        if example.media:
            self._check_plain("the prompt", system + (example.prompt or ""))
        marks = getattr(self.processor, "image_token", "") * len(example.media)
        return system + marks + (example.prompt or "")

    def _check_plain(self, whose: str, text: str) -> None:
        if spelled := self._spelled(text):
            raise PromptError(_refusal(whose, spelled))

    def _spelled(self, text: str) -> list[str]:
        return [token for token in self._special if token in text]

    def _tokens(self, text: str, images: list["Image"]) -> list[int]:
        # A template writes the special tokens itself.
        special = not self.chat
        if not images:
            return self._ids(text, special=special, plain=special) if text.strip() else []
        try:
            return self.processor(text=[text], images=[images], add_special_tokens=special)["input_ids"][0]
        except Exception as error:  # noqa: BLE001 - each model's processor has checks and errors of its own
            raise PromptError(f"the model's processor refuses this example: {one_line(error)}") from None

    def _ids(self, text: str, *, special: bool, plain: bool) -> list[int]:
        # Not verbose: a text that is too long is said in its row, not on the terminal.
        how = {"split_special_tokens": plain, "verbose": False}
        if plain and (spelled := self._spelled(text)):
            # A vocabulary of whole pieces may have the special token among them.
            ids = self.tokenizer(text, add_special_tokens=False, **how)["input_ids"]
            if set(ids) & set(self.tokenizer.convert_tokens_to_ids(spelled)):
                raise PromptError(_refusal("the text", spelled))
        return self.tokenizer(text, add_special_tokens=special, **how)["input_ids"]

    def _answer(self, example: Example) -> list[int]:
        ids = self._ids(example.answer_to_score or "", special=False, plain=True)
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


def _refusal(whose: str, spelled: Sequence[str]) -> str:
    return f"{whose} spells {spelled[0]}, which this model would take for its special token; take it out"


def one_line(error: Exception) -> str:
    """An error's message, short and without line breaks."""
    return " ".join(str(error).split())[:200]
