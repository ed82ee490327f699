"""What vLLM hands out, turned into answers; flat lists of log-probabilities, and no dictionary a token."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from schemas.answer import Answer, Usage, joined_reasons
from teacher_cache.teachers.local.answers import stored_state
from teacher_cache.teachers.openai_service.entries import ToldToken, scored_tokens
from teacher_cache.teachers.openai_service.faults import RequestError
from teacher_cache.teachers.scored_tokens import ScoredTokens
from teacher_cache.teachers.teacher import Entries


def written(output: Any, tokenizer: Any, *, keeps_texts: bool) -> Answer:
    """The texts of a request, without its log-probabilities.

    Args:
        output: of vLLM, with one completion a sample.
        tokenizer: of the model.
        keeps_texts: whether texts are stored.
    """
    samples = output.outputs
    texts = tuple(tokenizer.decode(sample.token_ids, skip_special_tokens=True) for sample in samples)
    return Answer(
        texts=texts if keeps_texts else None,
        usage=Usage(len(output.prompt_token_ids), sum(len(sample.token_ids) for sample in samples)),
        finish_reason=joined_reasons([sample.finish_reason for sample in samples]),
    )


def told(flat: Any, places: range, entries: Entries, vocab_size: int) -> Answer:
    """The entries of some tokens.

    Args:
        flat: vLLM's `FlatLogprobs`: of each token its own log-probability, then the most probable ones.
        places: of the tokens in it.
        entries: which to keep.
        vocab_size: of the model.

    Returns:
        The columns of log-probabilities; an error where these are none.
    """
    tokens = [_told(flat, flat.start_indices[place], flat.end_indices[place]) for place in places]
    try:
        return scored_tokens(tokens, entries, vocab_size).answer(entries.codec)
    except RequestError as fault:
        return Answer(error=f"the model's log-probabilities are none: {fault}")


def _told(flat: Any, start: int, end: int) -> ToldToken:
    own, others = start, slice(start + 1, end)
    return ToldToken(flat.token_ids[own], flat.logprobs[own], flat.token_ids[others], flat.logprobs[others])


def own_logprobs(flat: Any) -> np.ndarray:
    """The log-probability of each token itself, nats, float32, (T,)."""
    return np.array([flat.logprobs[start] for start in flat.start_indices], np.float32)


def with_tokens(scored: ScoredTokens, ids: Sequence[int], logprobs: np.ndarray) -> ScoredTokens:
    """The same entries, of tokens that were not known when they were chosen."""
    return ScoredTokens(np.array(ids, np.int32), logprobs, scored.top, scored.tail)


def pooled(output: Any, repr_dtype: Literal["float16", "float32"]) -> Answer:
    """A pooled hidden state."""
    values_D = output.outputs.data.float().cpu().numpy()
    return stored_state(values_D, repr_dtype)
