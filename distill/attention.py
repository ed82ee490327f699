"""Attention of a student that trains on a CPU: plain products of matrices, where torch's own takes longer.

torch's fused attention knows no dropout there, and what stands in for it computes in float32; in bfloat16 its
way back takes several times as long as the products do (docs/decisions/0021).

Letters: B batch, H heads, T tokens, D width of a head.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from distill.dropout import drop

NAME = "armada_products"
# Beyond this the products gain little, and they keep every score.
LONGEST = 512


def attend_by_products(module: nn.Module) -> None:
    """Let every model of transformers inside a module that has torch's attention train by products.

    Weights and their names stay, and what is saved of a model does not name its attention.

    Args:
        module: on the CPU.
    """
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    for part in module.modules():
        if isinstance(part, PreTrainedModel) and part.config._attn_implementation == "sdpa":  # noqa: SLF001 - transformers has no other name for it
            part.set_attn_implementation(NAME)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """What transformers calls for each layer: products where they pay, else torch's own attention.

    Args:
        module: the layer.
        query: (B, H, T, D).
        key: as the query, perhaps of fewer heads.
        value: as the key.
        attention_mask: True where a token is seen, or numbers to add, (B, 1, T, T); None for all tokens, or
            for all before a token.
        dropout: of the probabilities.
        scaling: of the scores.
        more: what torch's own reads.

    Returns:
        The values as attended to, (B, T, H, D), and no probabilities.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    short = dtype == torch.bfloat16 and query.shape[2] <= LONGEST
    plain = query.shape[2] == key.shape[2] and more.get("position_bias") is None and more.get("cache") is None
    if not (module.training and plain and (dropout > 0 or short)):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    if attention_mask is None and _is_causal(module, more):
        attention_mask = torch.ones(query.shape[2], query.shape[2], dtype=torch.bool).tril()
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    states_BHTD = products(query.to(dtype), key.to(dtype), value.to(dtype), attention_mask, dropout)
    return states_BHTD.transpose(1, 2).contiguous(), None


def products(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, mask: Tensor | None, dropout: float
) -> Tensor:
    """Each token's values, weighted by the softmax of its scores.

    Args:
        query_BHTD: (B, H, T, D), scaled, of one type with key and value.
        key_BHTD: (B, H, T, D).
        value_BHTD: (B, H, T, D).
        mask: True where a token is seen, or numbers to add, any shape that spreads to (B, H, T, T); None for
            all.
        dropout: of the probabilities.

    Returns:
        (B, H, T, D); a token that sees none sees all alike.
    """
    scores_BHTT = query_BHTD @ key_BHTD.transpose(2, 3)
    if mask is not None:
        scores_BHTT.add_(_added(mask, scores_BHTT.dtype))
    return drop(scores_BHTT.softmax(dim=-1), dropout) @ value_BHTD


def _is_causal(module: nn.Module, more: dict[str, Any]) -> bool:
    asked = more.get("is_causal")
    return getattr(module, "is_causal", True) if asked is None else asked


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
