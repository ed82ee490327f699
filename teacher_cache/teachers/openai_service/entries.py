"""Log-probabilities as services tell them, token by token, to the entries that are kept.

Letters: T tokens, N entries of all tokens together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.topk import TopK
from teacher_cache.teachers.openai_service.faults import RowError, TransientError
from teacher_cache.teachers.scored_tokens import ScoredTokens, from_top
from teacher_cache.teachers.teacher import WHOLE_VOCABULARY, Entries

# What float32 and bfloat16 arithmetic leaves; beyond it these are no log-probabilities.
_ABOVE_ZERO = 1e-3
_MASS_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class ToldToken:
    """What a service tells of one token.

    Attributes:
        id: of the token.
        logprob: of it, nats.
        ids: of the entries, in any order.
        logprobs: of the entries, nats.
    """

    id: int
    logprob: float
    ids: Sequence[int]
    logprobs: Sequence[float]


def scored_tokens(told: Sequence[ToldToken], entries: Entries, vocab_size: int) -> ScoredTokens:
    """Choose the entries to keep of those that were told.

    Args:
        told: of each token.
        entries: which to keep.
        vocab_size: of the model.

    Raises:
        TransientError: these are no log-probabilities.
        RowError: two entries of a token are one.
    """
    counts_T = np.array([len(token.ids) for token in told], np.int64)
    tokens_N = np.repeat(np.arange(len(told)), counts_T)
    ids_N = np.array([i for token in told for i in token.ids], np.int32)
    logprobs_N = _checked(np.array([value for token in told for value in token.logprobs], np.float64))
    chosen_T = _checked(np.array([token.logprob for token in told], np.float64))
    order_N = np.lexsort((ids_N, -logprobs_N, tokens_N))
    ids_N, logprobs_N = ids_N[order_N], logprobs_N[order_N]
    _check_distinct(tokens_N, ids_N)
    kept_N = _kept(logprobs_N, tokens_N, counts_T, entries)
    top = TopK(
        ids_N[kept_N],
        logprobs_N[kept_N].astype(np.float32),
        np.bincount(tokens_N[kept_N], minlength=len(told)).astype(np.uint32),
        vocab_size,
    )
    ids_T = np.array([token.id for token in told], np.int32)
    return from_top(ids_T, chosen_T.astype(np.float32), top)


def _checked(logprobs: NDArray[np.float64]) -> NDArray[np.float64]:
    wrong = ~(logprobs <= _ABOVE_ZERO)
    if wrong.any():
        raise TransientError(f"a log-probability of {logprobs[wrong.argmax()]}")
    return np.minimum(logprobs, 0.0)


def _check_distinct(tokens_N: NDArray[np.int64], ids_N: NDArray[np.int32]) -> None:
    order_N = np.lexsort((ids_N, tokens_N))
    same = (np.diff(tokens_N[order_N]) == 0) & (np.diff(ids_N[order_N]) == 0)
    if same.any():
        twice = ids_N[order_N][1:][same][0]
        raise RowError(f"two entries of a token are both the token {twice}; give the model's own tokenizer")


def _kept(
    logprobs_N: NDArray[np.float64],
    tokens_N: NDArray[np.int64],
    counts_T: NDArray[np.int64],
    entries: Entries,
) -> NDArray[np.bool_]:
    """As `schemas.topk.select_top` keeps entries, of those that there are; they are sorted by token."""
    mass_N = np.exp(logprobs_N)
    starts_T = np.cumsum(counts_T) - counts_T
    total_N = np.concatenate([[0.0], np.cumsum(mass_N)])
    mass_T = total_N[starts_T + counts_T] - total_N[starts_T]
    if (mass_T > 1 + _MASS_TOLERANCE).any():
        raise TransientError(f"probabilities of a token that sum to {mass_T.max():.3g}")
    ranks_N = np.arange(len(mass_N)) - starts_T[tokens_N]
    before_N = total_N[:-1] - total_N[starts_T][tokens_N]
    most = len(mass_N) if entries.top_k == WHOLE_VOCABULARY else entries.top_k
    enough_N = (before_N < entries.top_p) | (ranks_N < entries.min_k) | (entries.top_p == 1)
    return (mass_N > 0) & (ranks_N < most) & enough_N
