"""How a sequence classifier of transformers comes from tokens to one state a text, and to its outputs.

Letters: B batch, T tokens, D width of the student, C outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pooling:
    """How one kind of model pools; the output head that it already has reads the result.

    Attributes:
        pooled: the model and its tokens to (B, D).
        head: name of the output head in the model.
        drops: the model's own dropout stands before its head.
    """

    pooled: Callable[[Any, dict[str, Tensor]], Tensor]
    head: str
    drops: bool

    def width(self, model: Any) -> int:
        """D, what the output head reads; OPT's is not always its hidden size."""
        return getattr(model, self.head).in_features

    def logits(self, model: Any, pooled_BD: Tensor) -> Tensor:
        """The outputs, (B, C)."""
        return getattr(model, self.head)(model.dropout(pooled_BD) if self.drops else pooled_BD)


def last_token(model: Any, tokens: dict[str, Tensor]) -> Tensor:
    """The state, (B, D), of each text's last token that is not the padding token, on whichever side that is.

    The plain class pools at this place too, so it gives the same logits; a text that ends in the padding
    token (an eos that is both) is read before it.
    """
    ids_BT, mask_BT = tokens["input_ids"], tokens["attention_mask"]
    states_BTD = model.base_model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
    places_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
    last_B = (places_T * (ids_BT != model.config.pad_token_id)).argmax(dim=1)
    return states_BTD[torch.arange(len(ids_BT), device=ids_BT.device), last_B]


ENCODERS: dict[str, Pooling] = {
    "bert": Pooling(lambda model, tokens: model.bert(**tokens).pooler_output, "classifier", drops=True),
    "deberta-v2": Pooling(
        lambda model, tokens: model.pooler(model.deberta(**tokens).last_hidden_state),
        "classifier",
        drops=True,
    ),
}
CAUSAL = Pooling(last_token, "score", drops=False)


def is_adapted(backbone: Any) -> bool:
    """Whether a classifier is in an adapter of peft."""
    return hasattr(backbone, "get_base_model")


def plain_of(backbone: Any) -> Any:
    """The model of transformers itself; in an adapter, with the adapter's layers in it."""
    return backbone.get_base_model() if is_adapted(backbone) else backbone


def pooling_of(model: Any) -> Pooling | None:
    """The row of a plain classifier: its encoder's, or the causal one by its head `score`; else None."""
    if row := ENCODERS.get(model.config.model_type):
        return row
    head = getattr(model, CAUSAL.head, None)
    return CAUSAL if hasattr(head, "in_features") and model.base_model is not model else None
