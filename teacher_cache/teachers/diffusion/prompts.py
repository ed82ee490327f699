"""The text that a pipeline draws of an example, and whether its text encoder reads all of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.example import Example

# Tokenizers without a limit have one of 1e30.
_NO_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """What stands before a text encoder.

    Attributes:
        encode: gives the tokens of a text.
        limit: most tokens that are read; the rest is cut.
    """

    encode: Callable[[str], Sequence[int]]
    limit: int


def tokenizers_of(pipeline: Any, defaults: dict[str, Any]) -> list[Tokenizer]:
    """The tokenizers of a pipeline that cut.

    Args:
        pipeline: loaded.
        defaults: of its call.
    """
    found: list[Tokenizer] = []
    for name, part in pipeline.components.items():
        limit = getattr(part, "model_max_length", None)
        if not name.startswith("tokenizer") or not isinstance(limit, int):
            continue
        asked = defaults.get("max_sequence_length")
        # Where a pipeline has both, CLIP reads what it always reads, and the call's limit is T5's.
        if isinstance(asked, int) and "CLIP" not in type(part).__name__:
            limit = min(limit, asked)
        if limit < _NO_LIMIT:
            found.append(Tokenizer(_encoder(part), limit))
    return found


def _encoder(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    # That a text is too long is said in its row.
    return lambda text: tokenizer(text, verbose=False)["input_ids"]


def refusal(example: Example) -> str | None:
    """Why an example cannot be drawn."""
    if example.messages:
        return "a conversation cannot be drawn; give a prompt of one turn"
    if example.media:
        return "a text-to-image pipeline reads text alone, and the example has media"
    return None if (example.prompt or "").strip() else "the prompt is empty"


def cut_at(text: str, tokenizers: Sequence[Tokenizer]) -> str | None:
    """That a text encoder reads only the beginning of a text, in the words of `finish_reason`."""
    limits = [one.limit for one in tokenizers if len(one.encode(text)) > one.limit]
    return f"cut at {min(limits)} tokens" if limits else None
