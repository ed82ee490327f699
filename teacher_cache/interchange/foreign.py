"""A row of a foreign file, and the checks that log-probabilities of others go through before they are kept.

Letters: T tokens, N entries of all tokens together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from schemas.answer import Answer
from schemas.codec import CODECS
from schemas.errors import SourceError
from schemas.example import Message
from schemas.topk import TopK

# What float32 and bfloat16 arithmetic leaves; beyond it these are no log-probabilities.
_ABOVE_ZERO = 1e-3
_MASS_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """What one row of a foreign file says.

    Attributes:
        place: file and line or row, for messages.
        id: of the example; None where the format has none.
        key: number made of the id (`teacher_cache.interchange.keys`), where a format holds numbers only.
        prompt: what the teacher was given; None where the format does not say.
        messages: the same as turns; empty where it is one text.
        answer: all that needs no codec.
        top: entries of each of the answer's tokens.
        tail: log of the mass outside them, nats, float32, (T,).
        model: who answered, as the row says.
    """

    place: str
    id: str | None = None
    key: int | None = None
    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    answer: Answer = field(default_factory=Answer)
    top: TopK | None = None
    tail: NDArray[np.float32] | None = None
    model: str | None = None

    def sealed(self, codec: str | None) -> Answer:
        """The answer with its entries written by a codec.

        Raises:
            ConfigError: the codec cannot hold them.
        """
        if self.top is None or codec is None:
            return self.answer
        ids, logprobs = CODECS[codec].encode(self.top)
        return replace(self.answer, topk_ids=ids, topk_logprobs=logprobs, tail_logprob=self.tail)


def check_row(row: ForeignRow) -> None:
    """Refuse what a cache could not hold, before anything is made of it.

    Raises:
        SourceError: a text is none, or no UTF-8; or charged tokens are no whole numbers.
    """
    answer = row.answer
    texts = [
        ("id", row.id),
        ("prompt", row.prompt),
        ("model", row.model),
        ("finish_reason", answer.finish_reason),
    ]
    texts += [("answer", text) for text in answer.texts or ()]
    texts += [("message", message.content) for message in row.messages]
    for name, text in texts:
        _check_text(row.place, name, text)
    if answer.usage is not None:
        for count in (answer.usage.prompt_tokens, answer.usage.completion_tokens):
            if type(count) is not int or not 0 <= count < 1 << 31:
                raise SourceError(f"{row.place}: {count!r} tokens charged; wanted is a whole number from 0")


def _check_text(place: str, name: str, text: object) -> None:
    if text is None:
        return
    if not isinstance(text, str):
        raise SourceError(f"{place}: its {name} is {text!r}, a text is wanted; write it as one")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"{place}: its {name} holds half of a surrogate pair; write whole characters"
        ) from None


def check_ids(place: str, ids: Sequence[int] | NDArray[np.integer], vocab_size: int) -> NDArray[np.int32]:
    """Token ids as int32.

    Raises:
        SourceError: one is outside the vocabulary.
    """
    found = np.asarray(ids, np.int64)
    if len(found) and not 0 <= found.min() <= found.max() < vocab_size:
        wrong = int(found[(found < 0) | (found >= vocab_size)][0])
        raise SourceError(
            f"{place}: token id {wrong} is outside the vocabulary of {vocab_size}; "
            "give the tokenizer (--tokenizer) or the size (--vocab-size) that the file was made with"
        )
    return found.astype(np.int32)


def checked_top(
    place: str,
    ids_N: Sequence[int] | NDArray[np.integer],
    logprobs_N: Sequence[float] | NDArray[np.floating],
    counts_T: Sequence[int] | NDArray[np.integer],
    vocab_size: int,
    *,
    mass_tolerance: float = _MASS_TOLERANCE,
) -> TopK:
    """Entries in order, most probable first.

    Args:
        place: of the row, for messages.
        ids_N: one token after another.
        logprobs_N: beside them, nats.
        counts_T: entries of each token.
        vocab_size: of the model.
        mass_tolerance: by how much a token's entries may pass one in sum.

    Raises:
        SourceError: they are no log-probabilities of such a vocabulary, or an id stands twice.
    """
    ids = check_ids(place, ids_N, vocab_size)
    logprobs = check_logprobs(place, logprobs_N)
    counts = np.asarray(counts_T, np.int64)
    if not len(ids) == len(logprobs) == counts.sum():
        raise SourceError(
            f"{place}: {len(ids)} ids and {len(logprobs)} log-probabilities, one of each is wanted for each "
            "entry; write the file again"
        )
    tokens_N = np.repeat(np.arange(len(counts)), counts)
    order_N = np.lexsort((ids, -logprobs, tokens_N))
    top = TopK(ids[order_N], logprobs[order_N].astype(np.float32), counts.astype(np.uint32), vocab_size)
    mass_T = np.bincount(tokens_N, np.exp(logprobs), len(counts)).astype(np.float64)
    _check_masses(place, mass_T, mass_tolerance)
    _check_distinct(place, tokens_N, ids)
    return top


def check_logprobs(place: str, values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Log-probabilities, rounding above zero taken away.

    Raises:
        SourceError: one is NaN or positive.
    """
    found = np.asarray(values, np.float64)
    wrong = ~(found <= _ABOVE_ZERO)
    if wrong.any():
        raise SourceError(
            f"{place}: a log-probability of {found[wrong.argmax()]:g}, wanted is at most 0 (nats); "
            "write the file from log-softmax of the logits"
        )
    return np.minimum(found, 0.0)


def _check_masses(place: str, mass_T: NDArray[np.float64], tolerance: float) -> None:
    if (mass_T > 1 + tolerance).any():
        token = int(mass_T.argmax())
        raise SourceError(
            f"{place}: the entries of token {token} sum to {mass_T[token]:.3g}, wanted is at most 1; "
            "these are no log-probabilities (nats) of one distribution"
        )


def _check_distinct(place: str, tokens_N: NDArray[np.intp], ids_N: NDArray[np.int32]) -> None:
    order_N = np.lexsort((ids_N, tokens_N))
    same = (np.diff(tokens_N[order_N]) == 0) & (np.diff(ids_N[order_N]) == 0)
    if same.any():
        twice = int(ids_N[order_N][1:][same][0])
        raise SourceError(f"{place}: two entries of one token are both id {twice}; write the file again")


def chosen_logprobs(top: TopK, ids_T: NDArray[np.int32]) -> NDArray[np.float32] | None:
    """Log-probabilities of the tokens themselves; None where one is not among its own entries."""
    tokens_N = np.repeat(np.arange(top.num_tokens), top.counts)
    is_token_N = top.ids == ids_T[tokens_N]
    found_T = np.full(top.num_tokens, np.nan, np.float32)
    found_T[tokens_N[is_token_N]] = top.logprobs[is_token_N]
    return None if np.isnan(found_T).any() else found_T
