"""The objectives of a generative task: losses on answers, and an aligner that says its input again.

Section 4 of the paper trains the aligner by reconstruction where the task is generative and gives no more;
the rest is our reading (docs/decisions/0016-generative-students.md).

Letters: B batch, R width of the representation.
"""

from functools import partial

from torch import Tensor

from distill.config import DistillationConfig, TokenConfig
from distill.losses.divergence import parse_divergence
from distill.losses.labelled import manifold_terms
from distill.losses.matching import MATCHING_LOSSES, identity
from distill.losses.objective import Objective, OnTokens, Term, there, weighted
from distill.losses.pair import comparable
from distill.losses.token import token_losses
from distill.means import WHOLE, Means
from distill.view import View


def reconstruction_loss(said_BR: Tensor, representation_BR: Tensor, means: Means = WHOLE) -> Tensor:
    """Say the teacher's representation again.

    Mean over B and R of (said minus representation) squared.

    Args:
        said_BR: of a head, float, (B, R).
        representation_BR: as the aligner reads it, float, (B, R), treated as constant.
        means: how means over the batch are taken.

    Returns:
        Scalar >= 0, squared units of the representation.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, section 4, generative tasks.
    """
    said_BR, representation_BR = comparable(said_BR, representation_BR)
    return means.of_rows((said_BR - representation_BR).square().mean(dim=1))


def reconstructing_objective(how: DistillationConfig) -> Objective:
    """What an aligner learns where the task is generative.

    Reconstruction by the output head plus gamma times reconstruction by the auxiliary head.

    Args:
        how: gamma.

    Returns:
        Terms `task` and `task_aux`, as in eq. 1 with reconstruction for L_T.

    Source: arXiv 2603.10877, eq. 1 and section 4.
    """

    def task(view: View, _: View | None, labels: Tensor, means: Means = WHOLE) -> Tensor:
        return reconstruction_loss(there(view.logits_BC), labels, means)

    def task_aux(view: View, _: View | None, labels: Tensor, means: Means = WHOLE) -> Tensor:
        return reconstruction_loss(there(view.aux_logits_BC), labels, means)

    return weighted(Term("task", 1.0, task), Term("task_aux", how.gamma, task_aux))


def writing_objective(how: DistillationConfig | None, tokens: TokenConfig | None) -> Objective:
    """What a student learns where the task is generative.

    (1 - alpha) times the language-modelling loss plus kd_weight times the divergence from the teacher's
    tokens plus alpha times (match plus gamma times match_aux) plus beta times manifold. Without an aligner
    alpha, gamma and beta are 0; without the teacher's tokens kd_weight is.

    Args:
        how: of the aligner; None without one.
        tokens: of the teacher's tokens; None where no loss reads them.

    Returns:
        Parts `task` and, with the teacher's tokens, `kd`, from one pass of the head; the terms `match`,
        `match_aux` and `manifold`.

    Source: arXiv 2603.10877, eq. 2 and section 4; 1503.02531 for the divergence.
    """
    alpha = 0.0 if how is None else how.alpha
    terms = () if how is None else (*_matches(how), *manifold_terms(how))
    return weighted(*terms, on_tokens=_on_tokens(1 - alpha, tokens))


def _on_tokens(task_weight: float, tokens: TokenConfig | None) -> OnTokens:
    if tokens is None:
        return partial(token_losses, task_weight=task_weight, kd_weight=0.0)
    return partial(
        token_losses,
        task_weight=task_weight,
        divergence=parse_divergence(tokens.kd_divergence),
        temperature=tokens.kd_temperature,
        kd_weight=tokens.kd_weight,
    )


def _matches(how: DistillationConfig) -> tuple[Term, Term]:
    loss = MATCHING_LOSSES[how.formulation]

    def match(view: View, aligner: View | None, _: Tensor, means: Means = WHOLE) -> Tensor:
        other_BR = there(there(aligner).logits_BC)
        return loss(there(view.logits_BC), other_BR, how.temperature, identity, means)

    def match_aux(view: View, aligner: View | None, _: Tensor, means: Means = WHOLE) -> Tensor:
        other_BR = there(there(aligner).aux_logits_BC)
        return loss(there(view.aux_logits_BC), other_BR, how.temperature, identity, means)

    return Term("match", how.alpha, match), Term("match_aux", how.gamma * how.alpha, match_aux)
