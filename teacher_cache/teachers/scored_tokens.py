"""The scored tokens of an answer: from what a teacher said of each to the columns that hold it.

Letters: T tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.answer import Answer
from schemas.codec import CODECS
from schemas.topk import TopK, draw, select_top, tail_of
from teacher_cache.teachers.teacher import WHOLE_VOCABULARY, Entries


@dataclass(frozen=True, slots=True)
class ScoredTokens:
    """What was said of T tokens.

    Attributes:
        ids: of the tokens, int32, (T,).
        logprobs: of those tokens, nats, float32, (T,).
        top: entries kept of each.
        tail: log of the mass outside them, nats, float32, (T,); None for drawn entries.
    """

    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    top: TopK
    tail: NDArray[np.float32] | None

    def answer(self, codec: str) -> Answer:
        """The columns of an answer, all others empty.

        Raises:
            ConfigError: the codec cannot hold these entries.
        """
        ids, logprobs = CODECS[codec].encode(self.top)
        return Answer(
            token_ids=self.ids,
            token_logprobs=self.logprobs,
            topk_ids=ids,
            topk_logprobs=logprobs,
            tail_logprob=self.tail,
        )


@dataclass(frozen=True, slots=True)
class Recorder:
    """Collects one row's scored tokens as they come, so that no more than a part's distributions are held.

    Attributes:
        entries: which to keep.
        example_id: of the row.
    """

    entries: Entries
    example_id: str
    _parts: list[ScoredTokens] = field(default_factory=list)

    def add(self, ids_T: Sequence[int], logprobs_TV: NDArray[np.floating]) -> None:
        """Go on with T tokens and what the teacher thought before each of them, nats.

        Raises:
            TeacherError: a distribution has a NaN or does not sum to one.
        """
        position = sum(len(part.ids) for part in self._parts)
        ids = np.array(ids_T, np.int32)
        self._parts.append(from_distributions(ids, logprobs_TV, self.entries, self.example_id, position))

    def scored(self) -> ScoredTokens:
        """All tokens so far, of which there is one at least."""
        return joined(self._parts)


def joined(parts: Sequence[ScoredTokens]) -> ScoredTokens:
    """Tokens that follow each other, of which there is one at least."""
    tops = [part.top for part in parts]
    draws = [top.draws for top in tops if top.draws is not None]
    tails = [part.tail for part in parts if part.tail is not None]
    return ScoredTokens(
        ids=np.concatenate([part.ids for part in parts]),
        logprobs=np.concatenate([part.logprobs for part in parts]),
        top=TopK(
            ids=np.concatenate([top.ids for top in tops]),
            logprobs=np.concatenate([top.logprobs for top in tops]),
            counts=np.concatenate([top.counts for top in tops]),
            vocab_size=tops[0].vocab_size,
            draws=np.concatenate(draws) if draws else None,
        ),
        tail=np.concatenate(tails) if tails else None,
    )


def from_distributions(
    ids_T: NDArray[np.int32],
    logprobs_TV: NDArray[np.floating],
    entries: Entries,
    example_id: str,
    first_position: int = 0,
) -> ScoredTokens:
    """Choose the entries where the whole distribution is seen.

    Args:
        ids_T: the tokens.
        logprobs_TV: what the teacher thought before each of them, nats.
        entries: which to keep.
        example_id: of the row; draws are seeded by it.
        first_position: position in the answer of the first of the T tokens; draws are seeded by it too.

    Raises:
        TeacherError: a distribution has a NaN or does not sum to one.
    """
    ids_T = np.asarray(ids_T, np.int32)
    chosen_T = np.take_along_axis(logprobs_TV, ids_T[:, None].astype(np.int64), axis=1)[:, 0]
    chosen_T = chosen_T.astype(np.float32)
    if entries.codec == "sampled":
        drawn = draw(logprobs_TV, entries.num_draws, example_id, first_position)
        return ScoredTokens(ids_T, chosen_T, drawn, None)
    k = logprobs_TV.shape[1] if entries.top_k == WHOLE_VOCABULARY else entries.top_k
    top, tail_T = select_top(logprobs_TV, k, entries.top_p, min(entries.min_k, k))
    return ScoredTokens(ids_T, chosen_T, top, tail_T)


def check_entries(entries: Entries, vocab_size: int) -> None:
    """Refuse, before anything is asked, entries that cannot be chosen or that the codec cannot hold.

    Args:
        entries: which would be kept.
        vocab_size: of a teacher that gives whole distributions.

    Raises:
        ConfigError: they cannot.
    """
    even_1V = np.full((1, vocab_size), -np.log(vocab_size), np.float32)
    from_distributions(np.zeros(1, np.int32), even_1V, entries, "").answer(entries.codec)


def from_top(ids_T: NDArray[np.int32], logprobs_T: NDArray[np.float32], top: TopK) -> ScoredTokens:
    """Take the entries of a service that gives no more than those."""
    return ScoredTokens(ids_T, logprobs_T, top, tail_of(top))
