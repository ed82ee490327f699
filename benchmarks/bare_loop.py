"""The peer of stage two: what one writes in an afternoon with torch and transformers alone."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


@dataclass(frozen=True, slots=True)
class Speed:
    """Examples a second over the training steps alone, and the mean loss of the last ten steps."""

    examples_per_second: float
    loss: float


def train(
    folder: Path,
    texts: Sequence[str],
    labels: Sequence[int],
    *,
    epochs: int = 1,
    batch_size: int = 32,
    bf16: bool = False,
    pad_to: int | None = None,
    seed: int = 0,
) -> Speed:
    """Train a sequence classifier.

    Args:
        folder: of the pretrained model.
        texts: one a row.
        labels: class of each row.
        epochs: passes over the rows.
        batch_size: rows a step.
        bf16: whether to run under bfloat16 autocast.
        pad_to: pad every row to this many tokens; None sorts rows by length, pads each batch to its longest.
        seed: of weights and order.
    """
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=torch.float32)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
    encoded = tokenizer(list(texts), truncation=True, max_length=128)["input_ids"]
    losses: list[float] = []
    started, rows = time.perf_counter(), 0
    for epoch in range(epochs):
        for batch in _batches(encoded, batch_size, bucketed=pad_to is None, seed=seed + epoch):
            width = pad_to or max(len(encoded[i]) for i in batch)
            ids = torch.zeros(len(batch), width, dtype=torch.long)
            for row, i in enumerate(batch):
                ids[row, : len(encoded[i])] = torch.tensor(encoded[i])
            target = torch.tensor([labels[i] for i in batch])
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=target).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.item())
            rows += len(batch)
    return Speed(rows / (time.perf_counter() - started), sum(losses[-10:]) / len(losses[-10:]))


def _batches(encoded: Sequence[Sequence[int]], size: int, *, bucketed: bool, seed: int) -> list[list[int]]:
    shuffled = random.Random(seed)  # noqa: S311  an order, not a secret
    order = list(range(len(encoded)))
    shuffled.shuffle(order)
    if bucketed:
        order.sort(key=lambda i: len(encoded[i]))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    shuffled.shuffle(batches)
    return batches
