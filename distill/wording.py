"""A prompt and an answer as a causal student reads them: as stage one put them to a local teacher.

Prompt and answer are made into tokens apart and joined. The prompt goes through the chat template where there
is one, which writes the special tokens itself; the answer's tokens are its own, and the token that ends a
text follows them where the answer is whole. tests/contracts holds both stages to this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import StudentError
from schemas.example import Message, turns_of
from schemas.manifest import CacheManifest


@dataclass(frozen=True, slots=True)
class Wording:
    """How prompts are put.

    Attributes:
        chat: through the tokenizer's chat template.
        system: what stands before each prompt.
    """

    chat: bool
    system: str | None = None

    def prompts(self, tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
        """Tokens of some prompts, each one text of a user or a conversation; none where it cannot be put.

        Raises:
            StudentError: the chat template refuses one, or there is none and one is a conversation.
        """
        if self.chat:
            texts = [self._rendered(tokenizer, prompt) for prompt in prompts]
            return _ids(tokenizer, texts, special=False, plain=False)
        said = [self._plain(tokenizer, prompt) for prompt in prompts]
        found = iter(_ids(tokenizer, [text for text in said if text is not None], special=True, plain=True))
        return [[] if text is None else next(found) for text in said]

    def _plain(self, tokenizer: Any, prompt: str) -> str | None:
        """A prompt as it is; None for a conversation, which a teacher without a template does not answer."""
        if not turns_of(prompt):
            return prompt if self.system is None else f"{self.system}\n\n{prompt}"
        if tokenizer.chat_template is None:
            raise StudentError(
                "the student's tokenizer has no chat template, and the cache has conversations; choose a "
                "student with one"
            )
        return None

    def _rendered(self, tokenizer: Any, prompt: str) -> str:
        turns = turns_of(prompt) or (Message("user", prompt),)
        if self.system is not None and turns[0].role != "system":
            turns = (Message("system", self.system), *turns)
        said = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            return tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # noqa: BLE001 - a template raises what its author wrote, and jinja's own
            raise StudentError(
                f"the student's chat template refuses a prompt ({' '.join(str(error).split())[:200]}); "
                "choose a student with another template, or make the cache without --system"
            ) from None


def wording_of(manifest: CacheManifest, tokenizer: Any) -> Wording:
    """The student's chat template where it has one, unless the teacher was asked without; its system text.

    Args:
        manifest: of the cache.
        tokenizer: of the student.
    """
    chat = tokenizer.chat_template is not None and manifest.teacher.options.get("chat") is not False
    system = manifest.request.parameters.get("system")
    return Wording(chat, system if isinstance(system, str) else None)


def answer_ids(tokenizer: Any, answers: Sequence[str]) -> list[list[int]]:
    """Tokens of some answers, without special ones."""
    return _ids(tokenizer, answers, special=False, plain=True)


def _ids(tokenizer: Any, texts: Sequence[str], *, special: bool, plain: bool) -> list[list[int]]:
    if not texts:
        return []
    # Plain: what spells a special token is text, as for the teacher.
    return tokenizer(
        list(texts),
        add_special_tokens=special,
        split_special_tokens=plain,
        return_attention_mask=False,
        verbose=False,
    )["input_ids"]
