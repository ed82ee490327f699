from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from distill.attention import NAME, attend_by_products, products

BATCH, HEADS, TOKENS, WIDTH = 3, 2, 5, 4
IDS = torch.randint(3, 20, (BATCH, 7), generator=torch.Generator().manual_seed(0))
MASK = torch.ones(BATCH, 7, dtype=torch.long)
MASK[0, 4:] = 0


def parts(*shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator).requires_grad_() for _ in range(3)]


def bert(dropout: float = 0.0) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": dropout}
    return BertForSequenceClassification(BertConfig(**sizes, **dropouts, intermediate_size=16)).train()


def llama() -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
    return LlamaForSequenceClassification(LlamaConfig(**sizes, **heads)).train()


def gradients(model: Any, *, bf16: bool, mask: Tensor = MASK, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(input_ids=IDS, attention_mask=mask).logits
    logits.float().square().sum().backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def differ(ours: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """Length of all differences by that of all values."""
    assert ours.keys() == others.keys()
    gap = sum((ours[name] - others[name]).square().sum() for name in ours)
    return float((gap / sum(one.square().sum() for one in others.values())).sqrt())


def test_products_are_attention() -> None:
    query, key, value = parts(BATCH, HEADS, TOKENS, WIDTH)
    seen = torch.rand(BATCH, 1, TOKENS, TOKENS) < 0.6
    seen[..., 0] = True
    ours = products(query * 0.5, key, value, seen, 0.0)
    assert torch.allclose(
        ours, scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=0.5), atol=1e-6
    )
    added = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
    assert torch.allclose(products(query * 0.5, key, value, added, 0.0), ours, atol=1e-6)


def test_a_share_of_the_probabilities_is_dropped() -> None:
    torch.manual_seed(0)
    query, key, _ = parts(20, HEADS, 32, WIDTH)
    dropped = products(query, key, torch.eye(32).expand(20, HEADS, 32, 32), None, 0.25)
    whole = products(query, key, torch.eye(32).expand(20, HEADS, 32, 32), None, 0.0)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.allclose(dropped[dropped != 0], whole[dropped != 0] / 0.75, rtol=1e-5)


def test_a_token_that_sees_none_stays_finite() -> None:
    query, key, value = (one.detach().bfloat16() for one in parts(BATCH, HEADS, TOKENS, WIDTH))
    states = products(query, key, value, torch.zeros(1, 1, TOKENS, TOKENS, dtype=torch.bool), 0.0)
    assert states.isfinite().all()


@pytest.mark.parametrize("make", [bert, llama])
@pytest.mark.parametrize("mask", [MASK, torch.ones_like(MASK)], ids=["padded", "full"])
def test_bfloat16_gradients_are_as_near_to_the_truth_as_those_of_torch(make: Any, mask: Tensor) -> None:
    model = make()
    truth, theirs = gradients(model, bf16=False, mask=mask), gradients(model, bf16=True, mask=mask)
    attend_by_products(model)
    ours = gradients(model, bf16=True, mask=mask)
    assert differ(ours, theirs) > 0
    assert differ(ours, truth) < 1.5 * differ(theirs, truth) + 0.01


def test_float32_without_dropout_and_long_texts_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    exact, low = gradients(model, bf16=False), gradients(model, bf16=True)
    attend_by_products(model)
    assert differ(gradients(model, bf16=False), exact) == 0
    monkeypatch.setattr("distill.attention.LONGEST", IDS.shape[1] - 1)
    assert differ(gradients(model, bf16=True), low) == 0


def test_evaluation_is_left_to_torch() -> None:
    model = bert(0.3).eval()
    tokens = {"input_ids": IDS, "attention_mask": MASK}
    before = model(**tokens).logits
    attend_by_products(model)
    assert torch.equal(model(**tokens).logits, before)


def test_dropout_draws_by_the_seed_and_again_under_checkpointing() -> None:
    model = bert(0.3)
    attend_by_products(model)
    once, again, other = (gradients(model, bf16=False, seed=seed) for seed in (0, 0, 1))
    assert differ(once, again) == 0
    assert differ(once, other) > 1e-4
    model.gradient_checkpointing_enable()
    assert differ(gradients(model, bf16=False), once) < 1e-5


def test_nothing_of_it_is_saved_and_eager_models_keep_theirs(tmp_path: Path) -> None:
    model = bert()
    weights = list(model.state_dict())
    attend_by_products(model)
    assert model.config._attn_implementation == NAME
    assert list(model.state_dict()) == weights
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
    eager = bert()
    eager.set_attn_implementation("eager")
    attend_by_products(eager)
    assert eager.config._attn_implementation == "eager"
