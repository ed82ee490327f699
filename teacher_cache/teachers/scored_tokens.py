"""The scored tokens of an answer: from what a teacher said of each to the columns that hold it.

Letters: T tokens, V vocabulary.
"""

from dataclasses import dataclass

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


def from_distributions(
    ids_T: NDArray[np.int32], logprobs_TV: NDArray[np.floating], entries: Entries, example_id: str
) -> ScoredTokens:
    """Choose the entries where the whole distribution is seen.

    Args:
        ids_T: the tokens.
        logprobs_TV: what the teacher thought before each of them, nats.
        entries: which to keep.
        example_id: of the row; draws are seeded by it.

    Raises:
        TeacherError: a distribution has a NaN or does not sum to one.
    """
    ids_T = np.asarray(ids_T, np.int32)
    chosen_T = np.take_along_axis(logprobs_TV, ids_T[:, None].astype(np.int64), axis=1)[:, 0]
    chosen_T = chosen_T.astype(np.float32)
    if entries.codec == "sampled":
        return ScoredTokens(ids_T, chosen_T, draw(logprobs_TV, entries.num_draws, example_id), None)
    k = logprobs_TV.shape[1] if entries.top_k == WHOLE_VOCABULARY else entries.top_k
    top, tail_T = select_top(logprobs_TV, k, entries.top_p, min(entries.min_k, k))
    return ScoredTokens(ids_T, chosen_T, top, tail_T)


def from_top(ids_T: NDArray[np.int32], logprobs_T: NDArray[np.float32], top: TopK) -> ScoredTokens:
    """Take the entries of a service that gives no more than those."""
    return ScoredTokens(ids_T, logprobs_T, top, tail_of(top))
