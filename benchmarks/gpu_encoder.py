"""An encoder student of BERT-base's size on a GPU: examples a second beside an fp32 loop padded to 128.

Random weights, MiniLM's tokenizer (which is BERT's), the movie sentences (26 tokens on average), two classes.
Ours is what `distill --method undistilled --precision bf16` runs, without and with `--compile`: batches of
like length, logging and progress included. Its first epoch is not timed, nor the choice of a checkpoint
after it; the second is, from after its first step. The loop is benchmarks/bare_loop.py in float32, as torch
multiplies it by default, every row padded to 128 tokens. Its first steps are not timed. `with_graphs` asks
what `--compile` would do with CUDA graphs, which no option gives: a graph for each width of a batch.
"""

import statistics
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import torch

from benchmarks.bare_loop import Rows, train
from benchmarks.device_meter import forget_peak, metered, peak
from benchmarks.measure import ROOT, Claim, claim_of
from distill.config import resolve
from distill.pretrained import quiet
from distill.trainer import fit
from schemas.cache import TeacherCache, open_cache

_TOKENIZER = ROOT / "data/models/minilm"
_SENTENCES = ROOT / "data/tasks/movie-reviews"
_PADDED = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of the student, and of what it learns.

    Attributes:
        width: of its states; heads are 64 wide.
        layers: of it.
        batches: rows a batch.
        rows: that ours learns from, twice; a multiple of every batch, and at most one window of the order.
        steps: of the loop that are timed.
        warm_up: of the loop's that are not.
        rounds: both ways in turn.
        limit: sentences in the cache; None is all.
    """

    width: int = 768
    layers: int = 12
    batches: tuple[int, ...] = (32, 128)
    rows: int = 4096
    steps: int = 24
    warm_up: int = 4
    rounds: int = 3
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Examples a second, and the highest memory."""

    examples_per_second: float
    peak_bytes: int


def claims(device: torch.device, size: Size = Size()) -> list[Claim]:
    """Measure at each batch size, the ways of each round in turn."""
    with tempfile.TemporaryDirectory() as name:
        student, cache = write_encoder(Path(name) / "student", size), cache_texts(Path(name) / "cache", size)
        rows = rows_of(cache)
        return [
            claim
            for batch in size.batches
            for claim in _claims(
                [
                    {
                        "plain": ours(student, cache, size, batch, device),
                        "compiled": ours(student, cache, size, batch, device, compiled=True),
                        "padded": padded(student, rows, size, batch, device),
                    }
                    for _ in range(size.rounds)
                ],
                batch,
            )
        ]


def with_graphs(device: torch.device, size: Size = Size()) -> list[Claim]:
    """Measure `--compile` as torch's mode reduce-overhead has it, beside the same loop."""
    compiler = partial(torch.compile, mode="reduce-overhead")
    with tempfile.TemporaryDirectory() as name, patch.object(torch, "compile", compiler):
        student, cache = write_encoder(Path(name) / "student", size), cache_texts(Path(name) / "cache", size)
        rows = rows_of(cache)
        claims: list[Claim] = []
        for batch in size.batches:
            graphed = ours(student, cache, size, batch, device, compiled=True)
            loop = padded(student, rows, size, batch, device)
            claims.append(
                claim_of(
                    f"examples a second at batch {batch} in CUDA graphs, by the fp32 loop padded to 128",
                    [graphed.examples_per_second / loop.examples_per_second],
                    detail=f"{graphed.examples_per_second:,.0f} and {loop.examples_per_second:,.0f}",
                )
            )
        return claims


def _claims(rounds: list[dict[str, Speed]], batch: int) -> list[Claim]:
    def speed(way: str) -> float:
        return statistics.median(one[way].examples_per_second for one in rounds)

    def claim(way: str, words: str) -> Claim:
        return claim_of(
            f"examples a second at batch {batch}{words}, by the fp32 loop padded to 128",
            [one[way].examples_per_second / one["padded"].examples_per_second for one in rounds],
            at_least=12,
            detail=f"{speed(way):,.0f} and {speed('padded'):,.0f}; "
            f"{1000 * batch / speed(way):.1f} ms and {1000 * batch / speed('padded'):.1f} ms a step",
        )

    gigabytes = [
        statistics.median(one[way].peak_bytes for one in rounds) / 1e9 for way in ("plain", "padded")
    ]
    return [
        claim("plain", ""),
        claim("compiled", " with --compile"),
        claim_of(
            f"peak memory at batch {batch}, by that loop's",
            [one["plain"].peak_bytes / one["padded"].peak_bytes for one in rounds],
            at_most=1,
            detail=f"{gigabytes[0]:.2f} GB and {gigabytes[1]:.2f}",
        ),
    ]


def write_encoder(folder: Path, size: Size) -> Path:
    """A BERT with random weights, and a tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer: Any = AutoTokenizer.from_pretrained(_TOKENIZER)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // 64,
        intermediate_size=4 * size.width,
    )
    with quiet():
        BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def cache_texts(folder: Path, size: Size) -> TeacherCache:
    """The movie sentences with their labels, without a teacher."""
    from teacher_cache.cache import cache_teacher
    from teacher_cache.config import CacheConfig

    asked = CacheConfig(
        model="none",
        task="movie-sentiment",
        source=_SENTENCES,
        limit=size.limit,
        rows_per_shard=20_000,
        out=folder,
        quiet=True,
    )
    cache_teacher(asked)
    return open_cache(folder)


def rows_of(cache: TeacherCache) -> Rows:
    """Text and class of each training row."""
    table = pq.read_table(sorted(cache.folder.glob("train-*.parquet")), columns=["prompt", "class_ids"])
    return [(row["prompt"], row["class_ids"][0]) for row in table.to_pylist()]


def ours(
    student: Path,
    cache: TeacherCache,
    size: Size,
    batch: int,
    device: torch.device,
    *,
    compiled: bool = False,
) -> Speed:
    """Train two epochs, and measure the second."""
    steps = size.rows // batch
    given = {
        "task": "movie-sentiment",
        "student": str(student),
        "method": "undistilled",
        "protocol": "paper-dev",
        "limit_train": size.rows,
        "epochs": 2,
        "batch_size": batch,
        "lr": 5e-5,
        "precision": "bf16",
        "device": device.type,
        "compile": compiled,
    }
    with tempfile.TemporaryDirectory() as run, metered(device, steps + 1, 2 * steps) as meter:
        fit(resolve(given, "none"), cache, Path(run), quiet=True)
    if compiled:
        torch.compiler.reset()
    # Each batch is whole, so each step had as many rows.
    assert meter.steps == 2 * steps, f"{meter.steps} steps, {2 * steps} were expected"
    return Speed((steps - 1) * batch / meter.seconds, meter.peak_bytes)


def padded(student: Path, rows: Rows, size: Size, batch: int, device: torch.device) -> Speed:
    """Train the loop for some steps."""
    forget_peak(device)
    some = rows[: batch * (size.warm_up + size.steps)]
    trained = train(student, some, batch_size=batch, pad_to=_PADDED, device=device.type, warm_up=size.warm_up)
    return Speed(trained.examples_per_second, peak(device))
