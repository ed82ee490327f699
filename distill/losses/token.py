"""Learning from tokens: their cross-entropy and the teacher's word on them, from one pass of the head.

The logits of N tokens over a vocabulary are most of a small student's memory, so they are made for some
tokens at a time, turned into their own gradient where they lie, and multiplied back at once: no second pass
makes them again, and what is kept is the gradient of the hidden states and of the head.
docs/decisions/0011-losses-on-tokens.md has the figures.

Letters: N tokens, D hidden width, V vocabulary of the student.
"""

import torch
from torch import Tensor

from distill.losses.buckets import within
from distill.losses.divergence import TOKEN_LOSSES, Divergence, check_divergence
from distill.losses.head_pass import head_pass
from distill.losses.logit_gradient import Plan
from distill.losses.objective import Losses
from distill.teacher_tokens import TeacherTokens
from distill.view import IGNORED, TokenView
from schemas.errors import ShapeError


def token_losses(
    view: TokenView,
    teacher: TeacherTokens | None = None,
    *,
    divergence: Divergence = TOKEN_LOSSES["forward"],
    temperature: float = 1.0,
    task_weight: float = 1.0,
    kd_weight: float = 1.0,
    num_tokens: float | Tensor | None = None,
) -> Losses:
    """Cross-entropy on the tokens, and how far the student is from what the teacher said of them.

    Total is task_weight times (mean over N of minus the log-probability of the target) plus kd_weight times
    (mean over N of the divergence). Tokens whose target is -100 are in neither mean. Cross-entropy is over
    all of the student's ids; the divergence over those that both have: ids that pad the student's vocabulary
    have no mass in it, and what the teacher gives to ids that pad its own goes to the rest.

    Args:
        view: of the student; float32, or bfloat16 (multiplied in it, summed in float32).
        teacher: of the same N tokens, treated as constant; None for cross-entropy alone.
        divergence: from `parse_divergence`.
        temperature: of both distributions in the divergence, which is multiplied by its square.
        task_weight: >= 0.
        kd_weight: >= 0.
        num_tokens: by how many tokens the sums are divided, where they are part of a larger batch; None is
            those of the view that count.

    Returns:
        The total, to be differentiated once, and the parts `task` and, with a teacher, `kd`: nats a token.

    Raises:
        ConfigError: the teacher's entries are draws, and another divergence or temperature needs more.
        MismatchError: the teacher gives mass to ids that the student does not have.
        ShapeError: teacher and view have not the same tokens.

    Source: arXiv 1503.02531; 2503.16870 for draws; 2410.10989 (Liger kernel) for the gradient in place.
    """
    if teacher is not None:
        _check(view, teacher)
        check_divergence(divergence, temperature, drawn=teacher.tail_N is None)
        teacher = within(teacher, len(view.head_VD))
    counted_N = view.targets_N != IGNORED
    divisor = counted_N.sum().clamp_min(1) if num_tokens is None else num_tokens
    targets_N, weights_N = view.targets_N.clamp_min(0), counted_N.float() / divisor
    plan = Plan(
        targets_N,
        weights_N,
        teacher,
        divergence,
        temperature,
        task_weight,
        kd_weight,
        differentiates=torch.is_grad_enabled(),
    )
    total, task, kd = head_pass(view.hidden_ND, view.head_VD, view.bias_V, plan)
    return Losses(total, {"task": task} if teacher is None else {"task": task, "kd": kd})


def _check(view: TokenView, teacher: TeacherTokens) -> None:
    if len(teacher) != len(view.hidden_ND):
        raise ShapeError(
            f"the teacher has {len(teacher)} tokens, the student {len(view.hidden_ND)}; "
            "give both the same tokens"
        )
