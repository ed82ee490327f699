"""How one service differs from the others: parameters under other names, or not taken at all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.console import say
from teacher_cache.teachers.openai_service.address import OPENAI_HOST, Address

MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
# Parameters that a service may do without, and what follows from it.
DISPENSABLE = {
    "n": "samples are asked for one by one",
    "seed": "its samples cannot be drawn again",
    "dimensions": "its own number of dimensions is taken and compared",
    "response_format": "pictures come as it likes to give them",
}
_TOP_K = "--top-k (above temperature 0 vLLM is asked for one more)"
# Where the others come from.
OPTIONS = {
    "temperature": "--sampling-temperature",
    MAX_TOKENS: "--max-tokens",
    MAX_COMPLETION_TOKENS: "--max-tokens",
    "logprobs": _TOP_K,
    "top_logprobs": _TOP_K,
    "prompt_logprobs": "--top-k",
    "reasoning_effort": "--option reasoning-effort",
    "size": "--option image-size",
}
# What rows fill: a refusal that names one of these concerns the row.
_OF_ROWS = {"messages", "prompt", "input", "model"}
_UNKNOWN = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra_forbidden"
    r"|at most 1\b|must be 1\b",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Dialect:
    """What was learnt about a service; bodies are written in one language and spoken in its dialect.

    Attributes:
        is_vllm: whether vLLM's extensions are there.
        limit_name: what it calls the limit of tokens: newer models of OpenAI know the longer name alone,
            older servers the shorter.
        dropped: dispensable parameters that it refused.
    """

    is_vllm: bool = False
    limit_name: str = MAX_TOKENS
    dropped: set[str] = field(default_factory=set)
    _has_changed_limit: bool = False

    @classmethod
    def guess(cls, address: Address) -> "Dialect":
        """What can be known before anything was asked."""
        return cls(limit_name=MAX_COMPLETION_TOKENS if address.host == OPENAI_HOST else MAX_TOKENS)

    def spoken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request in this dialect."""
        return {
            self.limit_name if name == MAX_TOKENS else name: value
            for name, value in body.items()
            if name not in self.dropped
        }

    def learn(self, refused: str) -> bool:
        """Do without a parameter from now on, or under its other name; whether that is possible."""
        if refused == self.limit_name and not self._has_changed_limit:
            self.limit_name = MAX_COMPLETION_TOKENS if refused == MAX_TOKENS else MAX_TOKENS
            self._has_changed_limit = True
            return True
        if refused in DISPENSABLE and refused not in self.dropped:
            self.dropped.add(refused)
            say(f"the service takes no {refused}: {DISPENSABLE[refused]}")
            return True
        return False


def refused_parameter(sent: Mapping[str, Any], error: Mapping[str, Any], words: str) -> str | None:
    """The parameter that a refusal is about, if it is about one that every row's request has.

    Args:
        sent: the request.
        error: the service's error object.
        words: its message.
    """
    named = error.get("param")
    is_unknown = bool(_UNKNOWN.search(f"{words} {error.get('code')}"))
    if isinstance(named, str) and named in sent:
        # A limit too high for what the row's prompt leaves is the row's own fault.
        is_limit = named in (MAX_TOKENS, MAX_COMPLETION_TOKENS)
        return None if named in _OF_ROWS or (is_limit and not is_unknown) else named
    if not is_unknown:
        return None
    return next((name for name in sent if name not in _OF_ROWS and _is_named(name, words)), None)


def _is_named(name: str, words: str) -> bool:
    # One letter stands in many sentences, so it counts between quotes only.
    pattern = rf"\b{re.escape(name)}\b" if len(name) > 1 else rf"['\"`]{re.escape(name)}['\"`]"
    return re.search(pattern, words) is not None
