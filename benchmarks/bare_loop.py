"""The peer of stage two: what one writes in an afternoon with torch and transformers alone."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.device_meter import now

Rows = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Trained:
    """Examples a second over the training steps, and the share of held-back rows that come out right."""

    examples_per_second: float
    accuracy: float


def train(
    folder: Path,
    rows: Rows,
    held_back: Rows = (),
    *,
    epochs: int = 1,
    batch_size: int = 32,
    lr: float = 5e-5,
    bf16: bool = False,
    pad_to: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    warm_up: int = 0,
) -> Trained:
    """Train a sequence classifier of two classes.

    Args:
        folder: of the pretrained model.
        rows: text and class of each.
        held_back: rows to measure on afterwards.
        epochs: passes over the rows.
        batch_size: rows a step.
        lr: constant learning rate.
        bf16: whether to run under bfloat16 autocast.
        pad_to: pad every row to this many tokens; None sorts rows by length, pads each batch to its longest.
        seed: of weights and order.
        device: to train on.
        warm_up: steps before the clock starts.
    """
    where = torch.device(device)
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=torch.float32)
    model.to(where).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    encoded = _encode(tokenizer, rows)
    started, steps, trained = now(where), 0, 0
    for epoch in range(epochs):
        for batch in _batches(encoded, batch_size, bucketed=pad_to is None, seed=seed + epoch):
            ids, mask = (part.to(where) for part in _padded([encoded[i] for i in batch], pad_to))
            target = torch.tensor([rows[i][1] for i in batch]).to(where)
            with torch.autocast(where.type, torch.bfloat16, enabled=bf16):
                loss = model(input_ids=ids, attention_mask=mask, labels=target).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            # Ours looks at each loss too, to stop at the first that is not finite.
            assert math.isfinite(loss.item())
            steps, trained = steps + 1, trained + len(batch)
            if steps == warm_up:
                started, trained = now(where), 0
    return Trained(trained / (now(where) - started), _accuracy(model, tokenizer, held_back))


def _encode(tokenizer: Any, rows: Rows) -> list[list[int]]:
    return tokenizer([text for text, _ in rows], truncation=True, max_length=128)["input_ids"]


def _padded(encoded: Sequence[Sequence[int]], pad_to: int | None = None) -> tuple[Tensor, Tensor]:
    width = pad_to or max(map(len, encoded))
    ids = torch.zeros(len(encoded), width, dtype=torch.long)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids, (ids != 0).long()


@torch.no_grad()
def _accuracy(model: Any, tokenizer: Any, rows: Rows) -> float:
    model.eval()
    right = 0
    for start in range(0, len(rows), 64):
        batch = rows[start : start + 64]
        ids, mask = (part.to(model.device) for part in _padded(_encode(tokenizer, batch)))
        chosen = model(input_ids=ids, attention_mask=mask).logits.argmax(dim=1).cpu()
        right += int((chosen == torch.tensor([label for _, label in batch])).sum())
    return right / len(rows) if rows else math.nan


def _batches(encoded: Sequence[Sequence[int]], size: int, *, bucketed: bool, seed: int) -> list[list[int]]:
    shuffled = random.Random(seed)  # noqa: S311  an order, not a secret
    order = list(range(len(encoded)))
    shuffled.shuffle(order)
    if bucketed:
        order.sort(key=lambda i: len(encoded[i]))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    shuffled.shuffle(batches)
    return batches
