"""Training: examples a second and accuracy beside a bare loop, and what the aligner costs.

All train MiniLM on the movie sentences of the demo's cache (`make demo` makes it), batch 32, two epochs. The
bare loop is benchmarks/bare_loop.py: what one writes in an afternoon; ours is what `distill` runs, timed by
its own clock: data, forward, backward, clipping, optimiser; not loading and measuring, which neither counts.
"""

import os

# As the command does: distill/environment.py. Both sides run in this process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import statistics
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.bare_loop import Rows, Trained, train
from benchmarks.measure import ROOT, Claim, claim_of
from distill.config import resolve
from distill.rules import SCHEDULES
from distill.trainer import fit
from schemas.cache import open_cache
from schemas.errors import CacheError
from schemas.result import RunResult

SHARDS = ROOT / "data/shards/movie-sentiment/speech-hibari-whisper-tiny.en"
STUDENT = ROOT / "data/models/minilm"
_SEEDS = (0, 1, 2)
_FEW = 640
_TRAINING = ("data", "aligner", "student", "aligner+student")


def run() -> list[Claim]:
    """Measure the claims, both ways of each in turn."""
    if not (SHARDS / "manifest.json").exists():
        raise CacheError(f"{SHARDS} is not there; run make demo first")
    # Tokenise once, before any clock runs.
    _ours("undistilled", "bf16", seed=0, epochs=1, limit_train=64)
    full = [(_ours("undistilled", "bf16", seed=seed), _bare(seed=seed, bf16=True)) for seed in _SEEDS]
    armada = [_ours("armada", "bf16", seed=seed) for seed in _SEEDS]
    plain = [
        (_ours("undistilled", "fp32", seed=seed, epochs=1, limit_train=_FEW), _bare_few(seed))
        for seed in _SEEDS
    ]
    padded = [train(STUDENT, _rows("train")[:160], pad_to=128, seed=seed) for seed in _SEEDS]
    return [
        _speed("bf16: examples a second, ours against the bare loop in length buckets", full),
        _speed("fp32: examples a second, ours against the bare loop in length buckets", plain),
        _against_padded("fp32: examples a second against a loop padded to 128 in fp32", plain, padded, 4.0),
        _against_padded("bf16: examples a second against a loop padded to 128 in fp32", full, padded, 8.0),
        _accuracy(full),
        claim_of(
            "aligner pass and student step against the undistilled step",
            [_seconds(ours) / _seconds(alone) for ours, (alone, _) in zip(armada, full, strict=True)],
            at_most=1.12,
            detail=f"{_per_step(armada):.0f} ms against {_per_step([one for one, _ in full]):.0f} ms",
        ),
        claim_of(
            "share of training spent waiting for data",
            [one.seconds["data"] / _seconds(one) for one in armada],
            at_most=0.02,
        ),
        *_schedules(),
    ]


def _ours(method: str, precision: str, **options: Any) -> RunResult:
    given = {"task": "movie-sentiment", "student": str(STUDENT), "method": method, "precision": precision}
    with tempfile.TemporaryDirectory() as folder:
        return fit(resolve({**given, **options}, "audio"), open_cache(SHARDS), Path(folder), quiet=True)


def _schedules() -> list[Claim]:
    few = {"epochs": 1, "limit_train": _FEW}
    claims: list[Claim] = []
    for schedule in SCHEDULES:
        pairs = [
            (
                _ours("armada", "bf16", seed=seed, schedule=schedule, **few),
                _ours("undistilled", "bf16", seed=seed, **few),
            )
            for seed in _SEEDS[:2]
        ]
        ratios = [_seconds(ours) / _seconds(alone) for ours, alone in pairs]
        claims.append(claim_of(f"an epoch of the schedule `{schedule}` against an undistilled one", ratios))
    return claims


def _bare(**options: Any) -> Trained:
    return train(STUDENT, _rows("train")[: _num_trained()], _rows("validation"), epochs=2, **options)


def _bare_few(seed: int) -> Trained:
    return train(STUDENT, _rows("train")[:_FEW], seed=seed)


@cache
def _rows(split: str) -> Rows:
    table = pl.read_parquet(SHARDS / f"{split}-*.parquet", columns=["prompt", "class_ids"])
    return list(zip(table["prompt"], table["class_ids"].list.first(), strict=True))


def _num_trained() -> int:
    # Ours holds a tenth back to choose the checkpoint by; the peer gets as many rows.
    return round(0.9 * len(_rows("train")))


def _seconds(result: RunResult) -> float:
    return sum(result.seconds.get(part, 0.0) for part in _TRAINING)


def _examples_per_second(result: RunResult) -> float:
    return result.num_rows["train"] * int(result.config["epochs"]) / _seconds(result)


def _per_step(results: list[RunResult]) -> float:
    return 1000 * 32 / statistics.median(map(_examples_per_second, results))


def _speed(claim: str, pairs: list[tuple[RunResult, Trained]]) -> Claim:
    ratios = [_examples_per_second(ours) / bare.examples_per_second for ours, bare in pairs]
    ours = statistics.median(_examples_per_second(one) for one, _ in pairs)
    bare = statistics.median(one.examples_per_second for _, one in pairs)
    return claim_of(
        claim, ratios, at_least=0.95, detail=f"{ours:.0f} against {bare:.0f}, {os.cpu_count()} cores"
    )


def _against_padded(
    claim: str, pairs: list[tuple[RunResult, Trained]], padded: list[Trained], wanted: float
) -> Claim:
    ratios = [
        _examples_per_second(ours) / bare.examples_per_second
        for (ours, _), bare in zip(pairs, padded, strict=True)
    ]
    speed = statistics.median(one.examples_per_second for one in padded)
    return claim_of(claim, ratios, at_least=wanted, detail=f"the padded loop does {speed:.0f}")


def _accuracy(pairs: list[tuple[RunResult, Trained]]) -> Claim:
    ours = [one.metrics["student"]["accuracy"] for one, _ in pairs]
    bare = [one.accuracy for _, one in pairs]
    noise = max(statistics.stdev(ours), statistics.stdev(bare))
    gap = abs(statistics.mean(ours) - statistics.mean(bare))
    detail = f"means {statistics.mean(ours):.3f} and {statistics.mean(bare):.3f}, deviation {noise:.3f}"
    # In deviations of one seed; each mean of three has its own error of 0.58 of one.
    return claim_of(
        "gap of the mean accuracies, ours and bare, in deviations over three seeds",
        [gap / noise],
        at_most=2,
        detail=detail,
    )
