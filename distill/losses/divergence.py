"""How far apart two distributions over a token's buckets are: the kept entries, and one for all other ids.

Buckets that a token does not have (padding; the rest where every id is kept) are -inf on both sides and
count for nothing. Each function takes log-probabilities that sum to one over the buckets, and gives a value a
token.

Letters: N tokens, K buckets.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from schemas.errors import ConfigError

BucketLoss = Callable[[Tensor, Tensor], Tensor]
# Float32 cannot tell from one what lacks 2^-24 of it, so a rest given as nothing may be as large as that.
_LEAST_NATS = -24 * math.log(2)
_WANTED = "forward, reverse or jsd:B, B 0 (forward), 1 (reverse) or 0.01 to 0.99"


def forward_kl_loss(student_NK: Tensor, teacher_NK: Tensor) -> Tensor:
    """Put the student's mass wherever the teacher has some: KL(teacher || student).

    Sum over K of teacher's probability times (its log minus the student's).

    Args:
        student_NK: log-probabilities, nats, float, (N, K).
        teacher_NK: the same of the teacher, treated as constant.

    Returns:
        Nats, >= 0, (N,).

    Source: Hinton and others, arXiv 1503.02531; the rest as a bucket is docs/decisions/0006.
    """
    return _expected(teacher_NK.detach(), teacher_NK.detach(), student_NK)


def reverse_kl_loss(student_NK: Tensor, teacher_NK: Tensor) -> Tensor:
    """Take the student's mass away from where the teacher has none: KL(student || teacher).

    Sum over K of student's probability times (its log minus the teacher's). A teacher's bucket of no mass,
    which would make it infinite, counts as 2^-24, what rounding may have hidden.

    Args:
        student_NK: log-probabilities, nats, float, (N, K).
        teacher_NK: the same of the teacher, treated as constant.

    Returns:
        Nats, (N,); >= 0, but for what the raised buckets weigh.

    Source: MiniLLM, arXiv 2306.08543.
    """
    teacher_NK = teacher_NK.detach()
    raised_NK = torch.where(teacher_NK == -torch.inf, _LEAST_NATS, teacher_NK)
    return _expected(student_NK, student_NK, raised_NK)


def jsd_loss(student_NK: Tensor, teacher_NK: Tensor, beta: float) -> Tensor:
    """Go between the two: the generalised Jensen-Shannon divergence, scaled so that its ends are they.

    With mixture = beta times teacher plus (1 - beta) times student: KL(teacher || mixture) / (1 - beta) plus
    KL(student || mixture) / beta. That is GKD's divergence by beta (1 - beta): as beta goes to 0 it becomes
    KL(teacher || student), as beta goes to 1 KL(student || teacher), where GKD's both become zero.

    Args:
        student_NK: log-probabilities, nats, float, (N, K).
        teacher_NK: the same of the teacher, treated as constant.
        beta: in (0, 1).

    Returns:
        Nats, >= 0, (N,).

    Source: GKD, arXiv 2306.13649, section 2; the scale is ours, docs/decisions/0011.
    """
    teacher_NK = teacher_NK.detach()
    absent_NK = (teacher_NK == -torch.inf) & (student_NK == -torch.inf)
    # logaddexp of two -inf has no gradient, and the student's part of a mixture must have one elsewhere.
    own_NK = student_NK.masked_fill(absent_NK, 0) + math.log1p(-beta)
    mixture_NK = torch.logaddexp(own_NK, teacher_NK + math.log(beta))
    return _expected(teacher_NK, teacher_NK, mixture_NK) / (1 - beta) + (
        _expected(student_NK, student_NK, mixture_NK) / beta
    )


def drawn_loss(student_NK: Tensor, teacher_NK: Tensor) -> Tensor:
    """Estimate forward KL from draws, of which each entry has its share.

    Minus the sum over K of share times the student's log-probability. Its expectation over draws is
    KL(teacher || student) plus the teacher's entropy: a constant that no student changes and that a few draws
    cannot give without bias, so it is left in. The gradient's expectation is forward KL's.

    Args:
        student_NK: log-probabilities of the drawn ids, nats, float, (N, K); anything finite where padded.
        teacher_NK: log of the entry's share of the draws, nats, (N, K), treated as constant; -inf where
            padded.

    Returns:
        Nats, >= 0, (N,); the teacher's entropy at equality.

    Source: arXiv 2503.16870.
    """
    return -(teacher_NK.detach().exp() * student_NK).sum(dim=-1)


def soften(logprobs_NK: Tensor, temperature: float) -> Tensor:
    """Divide by the temperature and let the buckets sum to one again.

    Args:
        logprobs_NK: nats, float, (N, K).
        temperature: > 0.

    Returns:
        Log-probabilities, (N, K).
    """
    return logprobs_NK if temperature == 1 else (logprobs_NK / temperature).log_softmax(dim=-1)


def _expected(weight_NK: Tensor, left_NK: Tensor, right_NK: Tensor) -> Tensor:
    """Sum over K of exp(weight) times (left minus right); buckets of weight -inf count for nothing."""
    absent_NK = weight_NK == -torch.inf
    # Filled before the arithmetic: a mask after it lets NaN into the gradient.
    difference_NK = left_NK.masked_fill(absent_NK, 0) - right_NK.masked_fill(absent_NK, 0)
    return (weight_NK.exp() * difference_NK).sum(dim=-1)


@dataclass(frozen=True, slots=True)
class Divergence:
    """A choice of `--kd-divergence`.

    Attributes:
        name: as given.
        loss: from buckets of student and teacher to nats a token.
        takes_draws: whether draws from the teacher estimate it without bias.
    """

    name: str
    loss: BucketLoss
    takes_draws: bool = False


TOKEN_LOSSES: dict[str, Divergence] = {
    "forward": Divergence("forward", forward_kl_loss, takes_draws=True),
    "reverse": Divergence("reverse", reverse_kl_loss),
}
_ENDS = {0.0: "forward", 1.0: "reverse"}


def parse_divergence(text: str) -> Divergence:
    """Read `forward`, `reverse` or `jsd:B`; `jsd:0` is `forward`, `jsd:1` is `reverse`.

    Raises:
        ConfigError: it is none of them.
    """
    if text in TOKEN_LOSSES:
        return TOKEN_LOSSES[text]
    found = re.fullmatch(r"jsd:(\d+\.?\d*|\.\d+)", text)
    beta = float(found[1]) if found else math.nan
    if beta in _ENDS:
        return TOKEN_LOSSES[_ENDS[beta]]
    # Nearer to its ends it divides float32's rounding by almost nothing.
    if not 0.01 <= beta <= 0.99:
        raise ConfigError(f"--kd-divergence {text}: wanted {_WANTED}")
    return Divergence(text, partial(jsd_loss, beta=beta))


def check_divergence(divergence: Divergence, temperature: float, *, drawn: bool) -> None:
    """Refuse what draws from the teacher cannot give.

    Args:
        divergence: to be taken.
        temperature: of both distributions.
        drawn: whether the cache's codec is `sampled`.

    Raises:
        ConfigError: the divergence needs probabilities, not draws, or draws were made at another temperature.
    """
    if not drawn:
        return
    if not divergence.takes_draws:
        raise ConfigError(
            f"--kd-divergence {divergence.name}: draws (codec sampled) give forward without bias and no "
            "other; give forward, or make the cache with --codec packed"
        )
    if temperature != 1:
        raise ConfigError(
            f"--kd-temperature {temperature:g}: draws (codec sampled) were made at temperature 1; give 1, or "
            "make the cache with --codec packed"
        )
