"""Attention that trains on a CPU: products of matrices against torch's own attention.

One layer, forward and backward, under a mask, one thread; CPU time of the process, so that other work counts
for little, both ways in turn. `distill` takes the products where they are the shorter way.
"""

import time
from collections.abc import Callable
from itertools import repeat

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.measure import Claim, claim_of
from distill.attention import LONGEST, products

ROUNDS, WARM = 9, 2
# Rows, heads, tokens and width of a head: MiniLM at the demo's batch, SmolLM2-135M at that of a sum.
MINILM, SMOLLM = (32, 12, 32, 32), (4, 9, 64, 64)
LONG = (2, 9, LONGEST, 64)
Attention = Callable[[Tensor, Tensor], Tensor]


def run() -> list[Claim]:
    """Measure the claims."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    low, full = torch.bfloat16, torch.float32
    return [
        _claim(MINILM, low, 0.1, at_least=1.5),
        _claim(MINILM, full, 0.1, at_least=1),
        _claim(SMOLLM, low, 0.0, at_least=1.5),
        _claim(LONG, low, 0.0, at_least=1),
        # Here torch's own is left in its place.
        _claim(SMOLLM, full, 0.0),
    ]


def _claim(
    shape: tuple[int, ...], dtype: torch.dtype, dropout: float, *, at_least: float | None = None
) -> Claim:
    rows, heads, tokens, width = shape
    scale = width**-0.5

    def ours(values: Tensor, seen: Tensor) -> Tensor:
        return products(values * scale, values, values, seen, dropout)

    def theirs(values: Tensor, seen: Tensor) -> Tensor:
        return scaled_dot_product_attention(values, values, values, attn_mask=seen, dropout_p=dropout)

    values = torch.randn(shape).to(dtype)
    seen = (torch.arange(tokens) < tokens - tokens // 8).expand(rows, 1, tokens, tokens)
    pairs = [
        (_seconds(ours, values, seen), _seconds(theirs, values, seen)) for _ in repeat(None, ROUNDS + WARM)
    ]
    own, peer = (min(column) for column in zip(*pairs[WARM:], strict=True))
    name = str(dtype).removeprefix("torch.")
    return claim_of(
        f"torch's by products, {rows} rows of {tokens} tokens, {heads} heads of {width}, {name}, "
        f"dropout {dropout:g}",
        [their / our for our, their in pairs[WARM:]],
        at_least=at_least,
        detail=f"{1000 * peer:.1f} ms against {1000 * own:.1f}",
    )


def _seconds(attention: Attention, values: Tensor, seen: Tensor) -> float:
    leaf = values.clone().requires_grad_()
    started = time.process_time()
    attention(leaf, seen).sum().backward()
    return time.process_time() - started
