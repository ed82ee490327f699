"""The language-modelling head and its losses, some tokens at a time, with gradients made on the way forward.

Letters: N tokens, n tokens of a part, D hidden width, V vocabulary of the student.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distill.losses.logit_gradient import Plan, logits_to_gradient

# Float32 logits that are held at a time, 64 MiB: 341 tokens of 49,152 ids.
MOST_LOGITS = 1 << 24
_COLUMNS_AN_ENTRY = 16


def head_pass(
    hidden_ND: Tensor, head_VD: Tensor, bias_V: Tensor | None, plan: Plan
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the plan's losses over N tokens.

    Logits are multiplied in the dtype that a linear layer would use here (autocast's, or the hidden states'),
    and everything else is float32. Differentiating costs two products, of which a frozen head saves one; the
    total can be differentiated once.

    Args:
        hidden_ND: float, (N, D).
        head_VD: float, (V, D).
        bias_V: float, (V,), or None.
        plan: of the N tokens.

    Returns:
        The weighted total; the sums of cross-entropy and of the divergence, detached. Scalars, float32.

    Source: arXiv 2410.10989 (Liger kernel) for the gradient in place of the logits.
    """
    return _HeadPass.apply(hidden_ND, head_VD, bias_V, plan)  # pyright: ignore[reportReturnType]


class _HeadPass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, head_VD: Tensor, bias_V: Tensor | None, plan: Plan
    ) -> tuple[Tensor, Tensor, Tensor]:
        needed = ctx.needs_input_grad if plan.differentiates else (False,) * 3
        gradients = _Gradients.of(hidden_ND, head_VD, bias_V, needed)
        kind, dtype = hidden_ND.device.type, dtype_of_products(hidden_ND)
        full = torch.promote_types(dtype, torch.float32)
        plan = replace(plan, weights_n=plan.weights_n.to(full))
        sums_2 = hidden_ND.new_zeros(2, dtype=full)
        with torch.autocast(kind, enabled=False):
            head_VD = head_VD.to(dtype)
            for some in _parts(plan, len(hidden_ND), len(head_VD)):
                hidden_nD = hidden_ND[some].to(dtype)
                logits_nV = _logits(hidden_nD, head_VD, bias_V, full)
                sums_2 += torch.stack(logits_to_gradient(logits_nV, plan.at(some)))
                gradients.add(some, logits_nV, hidden_nD, head_VD)
                del logits_nV  # before the next part's are made
        ctx.gradients = gradients
        task, divergence = sums_2.unbind()
        total = plan.task_weight * task + plan.kd_weight * divergence
        ctx.mark_non_differentiable(task, divergence)
        return total, task, divergence

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides a name
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the loss of a head can be differentiated once")
        gradients, ctx.gradients = ctx.gradients, None
        made = gradients.hidden_ND, gradients.head_VD, gradients.bias_V
        return *(None if gradient is None else gradient.mul_(grads[0]) for gradient in made), None


def dtype_of_products(hidden_ND: Tensor) -> torch.dtype:
    """What a linear layer would multiply these states in: autocast's dtype where it is on, else their own."""
    kind = hidden_ND.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_ND.dtype


def _parts(plan: Plan, num_tokens: int, vocab_size: int) -> Iterator[slice]:
    """Tokens cut into parts as even as they can be, each within `MOST_LOGITS`."""
    entries = 0 if plan.teacher is None else plan.teacher.ids_NK.shape[1]
    most = max(1, MOST_LOGITS // (vocab_size + _COLUMNS_AN_ENTRY * entries))
    step = max(1, -(-num_tokens // -(-num_tokens // most or 1)))
    return (slice(start, start + step) for start in range(0, num_tokens, step))


def _logits(hidden_nD: Tensor, head_VD: Tensor, bias_V: Tensor | None, dtype: torch.dtype) -> Tensor:
    logits_nV = (hidden_nD @ head_VD.T).to(dtype)
    return logits_nV if bias_V is None else logits_nV.add_(bias_V)


@dataclass(frozen=True, slots=True)
class _Gradients:
    """Of the total by each tensor that needs one, in its own dtype."""

    hidden_ND: Tensor | None
    head_VD: Tensor | None
    bias_V: Tensor | None

    @classmethod
    def of(
        cls, hidden_ND: Tensor, head_VD: Tensor, bias_V: Tensor | None, needed: Sequence[bool]
    ) -> "_Gradients":
        of_hidden, of_head, of_bias = needed[:3]
        return cls(
            torch.empty_like(hidden_ND) if of_hidden else None,
            torch.zeros_like(head_VD) if of_head else None,
            torch.zeros_like(bias_V) if of_bias and bias_V is not None else None,
        )

    def add(self, some: slice, gradient_nV: Tensor, hidden_nD: Tensor, head_VD: Tensor) -> None:
        """Send the gradient of a part's logits on."""
        if self.bias_V is not None:
            self.bias_V.add_(gradient_nV.sum(dim=0))
        gradient_nV = gradient_nV.to(head_VD.dtype)
        if self.hidden_ND is not None:
            self.hidden_ND[some] = gradient_nV @ head_VD
        if self.head_VD is None:
            return
        if self.head_VD.dtype == head_VD.dtype:
            self.head_VD.addmm_(gradient_nV.T, hidden_nD)
        else:
            self.head_VD.add_(gradient_nV.T @ hidden_nD)
