"""The teacher's entries and the student's softmax as the same few buckets of each token.

Letters: N tokens, K kept entries, B buckets: K and, where the codec keeps a tail, one for all other ids.
"""

import torch
from torch import Tensor

from distill.losses.divergence import Divergence, drawn_loss, soften
from distill.teacher_tokens import TeacherTokens
from schemas.errors import MismatchError

# A rest below this share of the largest entry (69 nats) counts as this: its float32 sum is near nothing.
LEAST_REST = 1e-30
# Ids that pad a vocabulary were trained down to far less than this.
_MOST_BEYOND = 1e-3


def within(teacher: TeacherTokens, vocab_size: int) -> TeacherTokens:
    """What the teacher says to a student with fewer ids: mass on ids beyond the student's goes to the rest.

    Where every id of the student is kept it has no rest, and that mass is left out.

    Args:
        teacher: N tokens.
        vocab_size: ids of the student.

    Returns:
        The teacher itself, if the student has all of its ids.

    Raises:
        MismatchError: on the average of the tokens there is more than 0.001 of the teacher's mass.
    """
    if vocab_size >= teacher.vocab_size:
        return teacher
    beyond_NK = teacher.ids_NK >= vocab_size
    mass_N = teacher.logprobs_NK.exp().masked_fill(~beyond_NK, 0).sum(dim=1)
    if len(mass_N) and (mean := mass_N.mean().item()) > _MOST_BEYOND:
        raise MismatchError(
            f"the teacher gives {mean:.3g} of its mass to ids from {vocab_size} on, which the student lacks; "
            f"wanted at most {_MOST_BEYOND:g}; choose a student with {teacher.vocab_size} ids, or --method "
            "seqkd, which reads texts"
        )
    order_NK = beyond_NK.int().argsort(dim=1, stable=True)
    ids_NK = teacher.ids_NK.masked_fill(beyond_NK, 0).gather(1, order_NK)
    logprobs_NK = teacher.logprobs_NK.masked_fill(beyond_NK, -torch.inf).gather(1, order_NK)
    counts_N = teacher.counts_N - beyond_NK.sum(dim=1, dtype=torch.int32)
    tail_N = teacher.tail_N
    if tail_N is not None:
        tail_N = torch.logaddexp(tail_N, mass_N.log()).masked_fill(counts_N >= vocab_size, -torch.inf)
    return TeacherTokens(ids_NK, logprobs_NK, counts_N, tail_N, vocab_size)


def teacher_buckets(teacher: TeacherTokens) -> Tensor:
    """The teacher's log-probabilities, that sum to one over entries and tail.

    The tail is kept exactly, the entries are not by every codec: a constant for each token brings their sum
    back to what the tail leaves, as `schemas.topk.rescale` does.

    Args:
        teacher: N tokens.

    Returns:
        Nats, float32, (N, K + 1), the tail last; (N, K), shares of the draws, where there is no tail.
    """
    if teacher.tail_N is None:
        return teacher.logprobs_NK
    tail_N = teacher.tail_N.clamp(max=0)
    kept_N = teacher.logprobs_NK.logsumexp(dim=1)
    shift_N = torch.where(kept_N == -torch.inf, 0, torch.log(-torch.expm1(tail_N)) - kept_N)
    return torch.cat([teacher.logprobs_NK + shift_N[:, None], tail_N[:, None]], dim=1)


def student_buckets(kept_NK: Tensor, rest_N: Tensor, teacher: TeacherTokens) -> Tensor:
    """The student's log-probabilities in the teacher's buckets.

    Args:
        kept_NK: log-probabilities of the kept ids, nats, float32, (N, K).
        rest_N: mass of all other ids of the teacher, float32, (N,).
        teacher: N tokens.

    Returns:
        Nats, float32, (N, B); -inf where a token has no such bucket.
    """
    if teacher.tail_N is None:
        return kept_NK
    places_K = torch.arange(kept_NK.shape[1], device=kept_NK.device)
    kept_NK = kept_NK.masked_fill(places_K >= teacher.counts_N[:, None], -torch.inf)
    nothing_N = teacher.counts_N >= teacher.vocab_size
    rest_N = rest_N.clamp_min(LEAST_REST).log().masked_fill(nothing_N, -torch.inf)
    return torch.cat([kept_NK, rest_N[:, None]], dim=1)


def bucket_loss(
    student_NB: Tensor, teacher: TeacherTokens, divergence: Divergence, temperature: float
) -> Tensor:
    """The divergence of each token, both sides softened alike, times temperature squared.

    Args:
        student_NB: from `student_buckets`.
        teacher: N tokens.
        divergence: `check_divergence` lets it pass.
        temperature: > 0; what it means where not all ids are kept is in docs/decisions/0011.

    Returns:
        Nats times temperature squared, (N,).

    Source: arXiv 1503.02531 for the temperature.
    """
    teacher_NB = teacher_buckets(teacher)
    if teacher.tail_N is None:
        return drawn_loss(student_NB, teacher_NB)
    loss_N = divergence.loss(soften(student_NB, temperature), soften(teacher_NB, temperature))
    return loss_N * temperature**2
