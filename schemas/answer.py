"""An answer: all that a teacher said about one example, or why it said nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a request was charged for."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One teacher answer. A signal that was not asked for, or not given, is None.

    Attributes:
        texts: one text a sample.
        repr: the representation, float, (d,).
        token_ids: the T scored tokens, int32, (T,).
        token_logprobs: their log-probabilities in nats, float32, (T,).
        topk_ids: encoded ids of the most probable tokens (the codec is named in the shard's metadata).
        topk_logprobs: encoded log-probabilities beside them.
        tail_logprob: log of the mass outside the kept entries, nats, float32, (T,).
        usage: tokens charged.
        finish_reason: why generation ended, in the service's words; one for each sample, with commas
            between (`joined_reasons`), where they did not all end alike.
        error: why there is no answer; all signals are None then.
    """

    texts: tuple[str, ...] | None = None
    repr: NDArray[np.floating] | None = None
    token_ids: NDArray[np.int32] | None = None
    token_logprobs: NDArray[np.float32] | None = None
    topk_ids: bytes | None = None
    topk_logprobs: bytes | None = None
    tail_logprob: NDArray[np.float32] | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    error: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said at all, as for a row that the teacher was not asked about."""
        return all(getattr(self, field.name) is None for field in fields(self))


def joined_reasons(reasons: Sequence[str | None]) -> str | None:
    """Write why the samples of a row ended: one word where all ended alike, else one for each."""
    return reasons[0] if len(set(reasons)) == 1 else ",".join(reason or "" for reason in reasons)


def reasons_of(finish_reason: str | None, num_samples: int) -> list[str | None]:
    """Read why each sample of a row ended; one word, or none, is that of all."""
    parts = (finish_reason or "").split(",")
    each = parts if len(parts) == num_samples else [finish_reason] * num_samples
    return [reason or None for reason in each]
