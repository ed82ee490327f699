"""A prompt and an answer as a causal student reads them: as stage one put them to a local teacher.

Prompt and answer are made into tokens apart and joined. The prompt goes through the chat template where there
is one, which writes the special tokens itself; the answer's tokens are its own, and the token that ends a
text follows them where the answer is whole. tests/contracts holds both stages to this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import StudentError
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
        """Tokens of some prompts.

        Raises:
            StudentError: the chat template refuses one.
        """
        texts = [
            self._rendered(tokenizer, prompt) if self.chat else self._plain(prompt) for prompt in prompts
        ]
        return _ids(tokenizer, texts, special=not self.chat, plain=not self.chat)

    def _plain(self, prompt: str) -> str:
        return prompt if self.system is None else f"{self.system}\n\n{prompt}"

    def _rendered(self, tokenizer: Any, prompt: str) -> str:
        turns = [{"role": "user", "content": prompt}]
        if self.system is not None:
            turns.insert(0, {"role": "system", "content": self.system})
        try:
            return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
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
