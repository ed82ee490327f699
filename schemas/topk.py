"""What a teacher said about each token: its most probable entries, or draws from its whole distribution.

Letters: T tokens, V vocabulary, N entries of all tokens together.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError, ShapeError, TeacherError

MAX_DRAWS = 255
# Sloppier than float32 or bfloat16 arithmetic, and far from what unnormalised logits sum to.
_MASS_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class TopK:
    """Entries of T tokens, concatenated, most probable first.

    Attributes:
        ids: token ids, int32, (N,).
        logprobs: nats, float32, (N,); of drawn entries, log of their share of the token's draws.
        counts: entries of each token, uint32, (T,).
        vocab_size: V.
        draws: how often each entry was drawn, uint8, (N,); None for the most probable entries.
    """

    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    counts: NDArray[np.uint32]
    vocab_size: int
    draws: NDArray[np.uint8] | None = None

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.counts)

    @property
    def num_entries(self) -> int:
        """N."""
        return len(self.ids)


# What cannot be computed becomes NaN or infinite mass, and is refused by its mass.
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def select_top(
    logprobs_TV: NDArray[np.floating], k: int, p: float = 1.0, min_k: int = 1
) -> tuple[TopK, NDArray[np.float32]]:
    """Keep each token's most probable entries until the mass p is reached, at least min_k and at most k.

    Impossible entries (-inf) are never kept. The tail is summed over the entries left out, not taken as one
    minus the kept mass, which float32 cannot tell from zero where the teacher is sure.

    Args:
        logprobs_TV: whole distributions, nats, (T, V).
        k: most entries a token.
        p: mass after which no more entries are kept; 1 keeps k.
        min_k: fewest entries a token.

    Returns:
        The entries, and the log of the mass outside them, nats, float32, (T,); -inf where nothing is outside.

    Raises:
        ConfigError: not 1 <= min_k <= k, or not 0 < p <= 1.
        TeacherError: a distribution has a NaN or does not sum to one.
    """
    if not (1 <= min_k <= k and 0 < p <= 1):
        raise ConfigError(
            f"top-k {k}, top-p {p:g}, min-k {min_k}: give 1 <= min-k <= top-k and 0 < top-p <= 1"
        )
    _check_shape(logprobs_TV)
    whole_TV = np.asarray(logprobs_TV, np.float32)
    ids_TK, top_TK = _largest(whole_TV, min(k, whole_TV.shape[1]))
    mass_TK = np.exp(top_TK, dtype=np.float64)
    before_TK = np.zeros_like(mass_TK)
    np.cumsum(mass_TK[:, :-1], axis=1, out=before_TK[:, 1:])
    ranks_K = np.arange(ids_TK.shape[1])
    kept_TK = (mass_TK > 0) & ((before_TK < p) | (ranks_K < min_k) | (p == 1))
    tail_T = _rest(whole_TV, ids_TK, np.where(kept_TK, -np.inf, top_TK))
    _check_mass((mass_TK * kept_TK).sum(axis=1) + np.exp(tail_T))
    counts_T = kept_TK.sum(axis=1, dtype=np.uint32)
    top = TopK(ids_TK[kept_TK].astype(np.int32), top_TK[kept_TK], counts_T, whole_TV.shape[1])
    return top, tail_T.astype(np.float32)


def _largest(whole_TV: NDArray[np.float32], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    vocab_size = whole_TV.shape[1]
    ids_TK = np.argpartition(whole_TV, vocab_size - k, axis=1)[:, vocab_size - k :]
    values_TK = np.take_along_axis(whole_TV, ids_TK, axis=1)
    # Equal log-probabilities are ordered by id, so that the bytes do not depend on how the partition went.
    order_TK = np.lexsort((ids_TK, -values_TK), axis=1)
    return np.take_along_axis(ids_TK, order_TK, axis=1), np.take_along_axis(values_TK, order_TK, axis=1)


def _rest(
    whole_TV: NDArray[np.float32], ids_TK: NDArray[np.intp], left_TK: NDArray[np.float32]
) -> NDArray[np.float64]:
    rest_TV = whole_TV.copy()
    np.put_along_axis(rest_TV, ids_TK, left_TK, axis=1)
    peak_T1 = rest_TV.max(axis=1, keepdims=True)
    peak_T1[peak_T1 == -np.inf] = 0
    np.exp(np.subtract(rest_TV, peak_T1, out=rest_TV), out=rest_TV)
    return np.log(rest_TV.sum(axis=1, dtype=np.float64)) + peak_T1[:, 0]


def tail_of(top: TopK) -> NDArray[np.float32]:
    """Log of the mass outside the entries, from the entries alone, for services that give no more than those.

    Log of one minus the kept mass: below about 1e-7 it is noise of the service's float32; where rounding
    brings the kept mass to one or above, it is -inf.

    Args:
        top: most probable entries.

    Returns:
        Nats, float32, (T,).
    """
    with np.errstate(divide="ignore"):
        return np.log1p(-np.minimum(_kept_mass(top), 1.0)).astype(np.float32)


def captured_mass(tail_T: NDArray[np.floating]) -> float | None:
    """Mean mass of the kept entries over tokens: one minus exp of the tail; None without tokens."""
    return float(np.mean(-np.expm1(tail_T.astype(np.float64)))) if len(tail_T) else None


def rescale(top: TopK, tail_T: NDArray[np.floating]) -> TopK:
    """Shift each token's log-probabilities so that entries and tail sum to one again.

    A codec that rounds entries changes their sum; the tail is kept exactly, so the sum is known. For
    `packed` this undoes the common part of the rounding.

    Args:
        top: entries as decoded.
        tail_T: log of the mass outside them, nats, (T,).

    Raises:
        ShapeError: there is not one tail for each token.
    """
    if len(tail_T) != top.num_tokens:
        raise ShapeError(
            f"{len(tail_T)} tail log-probabilities for {top.num_tokens} tokens; give one a token"
        )
    kept_T = _kept_mass(top)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift_T = np.log1p(-np.minimum(np.exp(tail_T, dtype=np.float64), 1.0)) - np.log(kept_T)
    shift_T[kept_T == 0] = 0
    shift_N = np.repeat(shift_T.astype(np.float32), top.counts)
    return replace(top, logprobs=top.logprobs + shift_N)


def _kept_mass(top: TopK) -> NDArray[np.float64]:
    return _sum_by_token(np.exp(top.logprobs, dtype=np.float64), top.counts)


def _sum_by_token(values_N: NDArray[np.floating], counts_T: NDArray[np.uint32]) -> NDArray[np.float64]:
    # reduceat gives the next value, not zero, for an empty token, so empty ones are left out of it.
    sums_T = np.zeros(len(counts_T))
    filled_T = counts_T > 0
    if filled_T.any():
        starts_T = np.cumsum(counts_T, dtype=np.int64) - counts_T
        sums_T[filled_T] = np.add.reduceat(values_N, starts_T[filled_T])
    return sums_T


@np.errstate(invalid="ignore", over="ignore")
def draw(logprobs_TV: NDArray[np.floating], num_draws: int, example_id: str, first_position: int = 0) -> TopK:
    """Draw entries with replacement from whole distributions; an entry's share of the draws is unbiased.

    The random numbers of a token follow from example_id and its position alone (Philox, keyed by the SHA-256
    of the id, counting by position), so neither batching nor the order of requests changes a draw. Entries
    drawn most often come first, equal ones by id.

    Args:
        logprobs_TV: whole distributions, nats, (T, V).
        num_draws: draws a token, 1 to 255.
        example_id: of the row.
        first_position: position in the answer of the first of the T tokens.

    Raises:
        ConfigError: num_draws is out of range.
        TeacherError: a distribution has a NaN or does not sum to one.

    Source: arXiv 2503.16870.
    """
    if not 1 <= num_draws <= MAX_DRAWS:
        raise ConfigError(f"{num_draws} draws a token; give 1 to {MAX_DRAWS}")
    _check_shape(logprobs_TV)
    uniform_TD = _uniform(len(logprobs_TV), num_draws, example_id, first_position)
    drawn_TD = np.empty(uniform_TD.shape, np.int32)
    mass_T = np.empty(len(logprobs_TV))
    # One token at a time: its sum over the vocabulary costs far more than the step, and no neighbour's
    # rounding can touch it.
    for token, (logprobs_V, uniform_D) in enumerate(zip(logprobs_TV, uniform_TD, strict=True)):
        cumulative_V = np.cumsum(np.exp(logprobs_V, dtype=np.float64))
        mass_T[token] = cumulative_V[-1]
        below_D = np.minimum(uniform_D * cumulative_V[-1], np.nextafter(cumulative_V[-1], 0))
        drawn_TD[token] = np.searchsorted(cumulative_V, below_D, side="right")
    _check_mass(mass_T)
    return _counted(drawn_TD, logprobs_TV.shape[1])


def _uniform(num_tokens: int, num_draws: int, example_id: str, first_position: int) -> NDArray[np.float64]:
    blocks = -(-num_draws // 4)  # Philox gives four words each time its counter moves
    key = int.from_bytes(hashlib.sha256(example_id.encode()).digest()[:16], "little")
    generator = np.random.Philox(key=key, counter=first_position * blocks)
    words = generator.random_raw(num_tokens * blocks * 4).reshape(num_tokens, blocks * 4)
    return (words[:, :num_draws] >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _counted(drawn_TD: NDArray[np.int32], vocab_size: int) -> TopK:
    num_tokens, num_draws = drawn_TD.shape
    drawn_TD = np.sort(drawn_TD, axis=1)
    first_TD = np.ones(drawn_TD.shape, np.bool_)
    np.not_equal(drawn_TD[:, 1:], drawn_TD[:, :-1], out=first_TD[:, 1:])
    starts_N = np.flatnonzero(first_TD)
    draws_N = np.diff(starts_N, append=num_tokens * num_draws)
    ids_N = drawn_TD[first_TD]
    order_N = np.lexsort((ids_N, -draws_N, starts_N // num_draws))
    draws_N = draws_N[order_N].astype(np.uint8)
    counts_T = first_TD.sum(axis=1, dtype=np.uint32)
    return TopK(ids_N[order_N], share_of_draws(draws_N, counts_T), counts_T, vocab_size, draws_N)


def share_of_draws(draws_N: NDArray[np.uint8], counts_T: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Log of each entry's share of its token's draws, nats, float32, (N,)."""
    totals_T = _sum_by_token(draws_N.astype(np.float64), counts_T)
    return np.log(draws_N / np.repeat(totals_T, counts_T)).astype(np.float32)


def _check_shape(logprobs_TV: NDArray[np.floating]) -> None:
    if logprobs_TV.ndim != 2 or logprobs_TV.shape[1] == 0:
        raise ShapeError(
            f"log-probabilities of shape {logprobs_TV.shape}; give (tokens, vocabulary), at least one id"
        )


def _check_mass(mass_T: NDArray[np.float64]) -> None:
    wrong_T = ~(np.abs(mass_T - 1) <= _MASS_TOLERANCE)
    if wrong_T.any():
        token = int(wrong_T.argmax())
        raise TeacherError(
            f"the teacher's probabilities of token {token} sum to {mass_T[token]:g}, wanted 1; "
            "give log-probabilities (log-softmax of the logits) over the whole vocabulary"
        )
