"""A real teacher of its own first layers: what the cache gives is what the live teacher gives."""

from pathlib import Path

import pytest
import torch

from distill.answer_material import gather_answers
from distill.config import TokenConfig, resolve
from distill.losses.writing import writing_objective
from distill.pretrained import load_tokenizer
from distill.writer import Writer, load_writer
from schemas.cache import open_cache
from schemas.tasks import find_task
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig

NUM_LAYERS = 12


@pytest.mark.slow
def test_offline_is_online(fetched: Path, tmp_path: Path) -> None:
    """Every entry kept exactly: loss and gradient of twelve layers of SmolLM2 are those of all thirty."""
    folder = fetched / "models" / "smollm2-135m-instruct"
    cache_teacher(
        CacheConfig(
            model=f"transformers:{folder}", task="chain-sum", source=fetched / "tasks" / "chain-sum",
            limit=8, score="reference", codec="exact", top_k=-1, out=tmp_path / "cache", quiet=True,
        )
    )  # fmt: skip
    options = {"student": str(folder), "method": "kd", "batch_size": 4, "device": "cpu"}
    run = resolve({"task": "chain-sum", **options}, "text")
    tokenizer, task = load_tokenizer(str(folder)), find_task("chain-sum")
    material = gather_answers(run, open_cache(tmp_path / "cache"), task, tokenizer, torch.device("cpu"))
    batch = next(iter(material.train.batches(0, 1)))

    teacher = load_writer(str(folder)).eval()
    ids, mask = batch.tokens["input_ids"], batch.tokens["attention_mask"]
    with torch.no_grad():
        live_NV = teacher(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[batch.tokens["before_N"]]
    teacher.base_model.layers = teacher.base_model.layers[:NUM_LAYERS]
    student = Writer(teacher).eval()
    view = student(**batch.tokens)
    assert view.tokens is not None
    view.tokens.hidden_ND.retain_grad()
    losses = writing_objective(None, TokenConfig())(view, None, batch.labels, batch.teacher_tokens)
    losses.total.backward()

    # In float64: float32's sum over 49,152 ids is off by 1e-5.
    hidden_ND = view.tokens.hidden_ND.detach().double().requires_grad_()
    own_NV = (hidden_ND @ view.tokens.head_VD.detach().double().T).log_softmax(-1)
    live_NV = live_NV.double().log_softmax(-1)
    targets_N = batch.tokens["targets_N"]
    # The end that follows a reference is learnt, and nobody scored it.
    scored_N = targets_N != tokenizer.eos_token_id
    divergence = ((live_NV.exp() * (live_NV - own_NV)).sum(-1) * scored_N).mean()
    task_loss = -own_NV.gather(1, targets_N[:, None]).mean()
    (divergence + task_loss).backward()
    assert divergence > 1
    assert losses.parts["kd"].item() == pytest.approx(divergence.item(), abs=1e-5)
    assert losses.parts["task"].item() == pytest.approx(task_loss.item(), abs=1e-5)
    assert view.tokens.hidden_ND.grad is not None
    assert hidden_ND.grad is not None
    distance = (view.tokens.hidden_ND.grad - hidden_ND.grad).norm() / hidden_ND.grad.norm()
    assert distance < 1e-5
