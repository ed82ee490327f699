"""Padding: the share of a student's tokens that is padding where batches hold texts of like length.

Exact counts, no clock: SmolLM2's tokens, batches as `distill/order.py` cuts them, padded to a multiple of
8 as `distill/answer_stream.py` does, over three epochs of 5,000 rows. Packing rows into full sequences
could save this share at most. Sums are chain-sum's; mixed rows ask for one to twelve film sentences in
other words.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.language_model import MODEL, SENTENCES
from benchmarks.measure import ROOT, Claim, claim_of
from distill.answer_stream import right_padded
from distill.order import Kept, Order
from distill.wording import Wording, answer_ids

_ROWS, _ROWS_PER_GROUP, _EPOCHS = 5000, 1000, 3
Pairs = Sequence[tuple[str, str]]


def run() -> list[Claim]:
    """Count, for two sets of rows and three batch sizes."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(MODEL)
    claims: list[Claim] = []
    for name, pairs in (("sums", _sums()), ("mixed rows", _mixed())):
        lengths_R = _lengths(tokenizer, pairs)
        for size in (4, 8, 32):
            unsorted = _share(lengths_R, _shuffled(len(lengths_R), size))
            claims.append(
                claim_of(
                    f"padding in batches of {size} {name}",
                    [_share(lengths_R, _ordered(lengths_R, size, epoch)) for epoch in range(_EPOCHS)],
                    at_most=0.1,
                    detail=f"not sorted {unsorted:.3f}; {lengths_R.min()} to {lengths_R.max()} tokens, "
                    f"{lengths_R.mean():.0f} on average",
                )
            )
    return claims


def _sums() -> Pairs:
    lines = (ROOT / "data/tasks/chain-sum/questions.jsonl").read_text().splitlines()[:_ROWS]
    rows = [json.loads(line) for line in lines]
    return [(row["fields"]["question"], row["label"]) for row in rows]


def _mixed() -> Pairs:
    sentences = [line.split("\t")[2] for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    counts = np.random.default_rng(0).integers(1, 13, _ROWS).tolist()
    texts = [" ".join(sentences[start : start + count]) for start, count in enumerate(counts)]
    return [(f"Say it in other words: {text}", text) for text in texts]


def _lengths(tokenizer: Any, pairs: Pairs) -> NDArray[np.int32]:
    """Tokens of prompt, answer and its end."""
    questions, texts = zip(*pairs, strict=True)
    prompts, answers = Wording(chat=True).prompts(tokenizer, questions), answer_ids(tokenizer, texts)
    return np.array([len(one) + len(two) + 1 for one, two in zip(prompts, answers, strict=True)], np.int32)


def _ordered(lengths_R: NDArray[np.int32], size: int, epoch: int) -> list[NDArray[np.int64]]:
    rows = len(lengths_R)
    group_starts = np.array([*range(0, rows, _ROWS_PER_GROUP), rows])
    order = Order(
        seed=0,
        batch_size=size,
        group_starts=group_starts,
        kept=Kept.of(np.ones(rows, bool), group_starts),
        lengths_R=lengths_R,
    )
    return [batch for _, batches in order.batches(epoch, 0) for batch in batches]


def _shuffled(rows: int, size: int) -> list[NDArray[np.int64]]:
    order = np.random.default_rng(0).permutation(rows)
    return [order[start : start + size] for start in range(0, rows, size)]


def _share(lengths_R: NDArray[np.int32], batches: list[NDArray[np.int64]]) -> float:
    one = [np.zeros(1, np.int32)]
    computed = 0
    for rows in batches:
        prompts = [np.zeros(length - 1, np.int32) for length in lengths_R[rows]]
        computed += right_padded(prompts, one * len(rows), 0)["input_ids"].size
    return 1 - float(lengths_R.sum()) / computed
