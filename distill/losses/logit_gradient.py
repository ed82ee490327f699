"""Both losses of some tokens from their logits, whose place their gradient takes.

Let p be the student's softmax over the teacher's ids, E the exponentials of the logits less their largest,
a and b the derivatives of any divergence of buckets by the log-probabilities of the kept ids and of the rest,
A the sum of both. Then the gradient is a - A p at a kept id and p (b / rest - A) at any other. So one pass
over the vocabulary scales what the other ids have, and a few values are put in at the kept ones.
Cross-entropy adds its softmax over all of the student's ids, less one at the target.

Letters: n tokens, V vocabulary of the student, U of the teacher (U <= V), K kept entries, B buckets.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distill.losses.buckets import LEAST_REST, bucket_loss, student_buckets
from distill.losses.divergence import Divergence
from distill.teacher_tokens import TeacherTokens


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted of some tokens: all that is no parameter of the student.

    Attributes:
        targets_n: token ids, int64, (n,); any where the weight is 0.
        weights_n: of each token in both sums, float32, (n,).
        teacher: None for cross-entropy alone.
        divergence: between the teacher's buckets and the student's.
        temperature: of both.
        task_weight: of cross-entropy in the total.
        kd_weight: of the divergence in the total.
        differentiates: whether a gradient is wanted at all.
    """

    targets_n: Tensor
    weights_n: Tensor
    teacher: TeacherTokens | None
    divergence: Divergence
    temperature: float
    task_weight: float
    kd_weight: float
    differentiates: bool

    def at(self, some: slice) -> "Plan":
        """The same for a part of the tokens."""
        teacher = None if self.teacher is None else self.teacher.at(some)
        return replace(self, targets_n=self.targets_n[some], weights_n=self.weights_n[some], teacher=teacher)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The teacher's ids among the logits, and what the divergence made of them.

    Attributes:
        ids_nK: where they are, int64; 0 where padded.
        exp_nK: E there; 0 where padded.
        whole_n: sum of E over the teacher's ids.
        rest_n: the same without the kept ids.
        loss_n: the divergence, nats times temperature squared.
        slope_nB: derivative of the weighted divergence by each bucket's log-probability.
    """

    ids_nK: Tensor
    exp_nK: Tensor
    whole_n: Tensor
    rest_n: Tensor
    loss_n: Tensor
    slope_nB: Tensor


def logits_to_gradient(logits_nV: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
    """Sum both losses over n tokens, and leave the gradient of the plan's total in place of the logits.

    Args:
        logits_nV: float32, (n, V); overwritten.
        plan: of the n tokens.

    Returns:
        Weighted sums of cross-entropy and of the divergence, scalars, nats.
    """
    targets_n1 = plan.targets_n[:, None]
    peak_n1 = logits_nV.amax(dim=1, keepdim=True)
    chosen_n = (logits_nV.gather(1, targets_n1) - peak_n1)[:, 0]
    if plan.teacher is None:
        total_n = logits_nV.sub_(peak_n1).exp_().sum(dim=1)
        divergence = torch.zeros_like(total_n[0])
        logits_nV.mul_((plan.task_weight * plan.weights_n / total_n)[:, None])
    else:
        kept = _take_kept(logits_nV, peak_n1, plan.teacher, plan)
        padded_nP = logits_nV[:, plan.teacher.vocab_size :]
        total_n = kept.whole_n + padded_nP.sum(dim=1)
        divergence = plan.weights_n @ kept.loss_n
        _scale(logits_nV, padded_nP, kept, plan.task_weight * plan.weights_n / total_n)
    logits_nV.scatter_add_(1, targets_n1, -plan.task_weight * plan.weights_n[:, None])
    return plan.weights_n @ (total_n.log() - chosen_n), divergence


def _take_kept(logits_nV: Tensor, peak_n1: Tensor, teacher: TeacherTokens, plan: Plan) -> _Kept:
    """Make E of the logits, take the kept ids out of it, and compare them with the teacher."""
    ids_nK = teacher.ids_NK.long()
    relative_nK = logits_nV.gather(1, ids_nK) - peak_n1
    logits_nV.sub_(peak_n1).exp_()
    places_K = torch.arange(ids_nK.shape[1], device=ids_nK.device)
    exp_nK = logits_nV.gather(1, ids_nK).masked_fill(places_K >= teacher.counts_N[:, None], 0)
    # A number less itself is zero, so what is left sums to the rest alone, right to its own last digit.
    logits_nV.scatter_add_(1, ids_nK, -exp_nK)
    rest_n = logits_nV[:, : teacher.vocab_size].sum(dim=1)
    whole_n = (rest_n + exp_nK.sum(dim=1)).clamp_min(torch.finfo(torch.float32).tiny)
    buckets_nB = student_buckets(relative_nK - whole_n.log()[:, None], rest_n / whole_n, teacher)
    return _Kept(ids_nK, exp_nK, whole_n, rest_n, *_differentiate(buckets_nB, teacher, plan))


@torch.enable_grad()
def _differentiate(buckets_nB: Tensor, teacher: TeacherTokens, plan: Plan) -> tuple[Tensor, Tensor]:
    """The divergence of each token, and the derivative of their weighted sum by every bucket."""
    leaf_nB = buckets_nB.detach().requires_grad_()
    loss_n = bucket_loss(leaf_nB, teacher, plan.divergence, plan.temperature)
    (slope_nB,) = torch.autograd.grad(loss_n @ (plan.kd_weight * plan.weights_n), leaf_nB)
    return loss_n.detach(), slope_nB


def _scale(exp_nV: Tensor, padded_nP: Tensor, kept: _Kept, task_n: Tensor) -> None:
    """E to the gradient, but for the target's own term; `task_n` times E is cross-entropy's part."""
    num_kept = kept.ids_nK.shape[1]
    own_n = task_n - kept.slope_nB.sum(dim=1) / kept.whole_n
    rest_slope_n = kept.slope_nB[:, num_kept:].sum(dim=1)
    counts_n = kept.rest_n > LEAST_REST * kept.whole_n
    rest_n = own_n + torch.where(counts_n, rest_slope_n / kept.rest_n, 0)
    exp_nV[:, : exp_nV.shape[1] - padded_nP.shape[1]].mul_(rest_n[:, None])
    padded_nP.mul_(task_n[:, None])
    exp_nV.scatter_add_(1, kept.ids_nK, kept.slope_nB[:, :num_kept] + own_n[:, None] * kept.exp_nK)
