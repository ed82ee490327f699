"""Whole runs: KD from a cache, the asking of the teacher counted, against the live teacher in the loop.

SmolLM2 teaches its first 12 layers on chain-sum, 4 rows a batch, 4 epochs, one thread, bfloat16 autocast:
the student in an adapter of rank 8, or trained whole. Both ways are `distill`, benchmarks/whole_run.py,
from set-up to report; the live teacher is asked in each step, in bfloat16. The cache is made by
cache-teacher with `--score reference --teach train`. All in CPU seconds, the libraries' import left out.
What four runs from one cache cost (seeds, methods, weights of a loss) is four times what one was measured
to cost.

The bound is missed for this pair, whatever the number of epochs or runs: a student's passes over 12 layers
cost more than one of the teacher over 30, so an epoch with it takes less than twice one without.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Claim, claim_of
from benchmarks.peers import cache_scores, write_first_layers

_ROWS, _LAYERS, _RUNS = 50, 12, 4
_HOWS = {"adapter": "student in an adapter", "whole": "student trained whole"}


def run() -> list[Claim]:
    """Measure the claims."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_first_layers(folder / "student", _LAYERS)
        asked = _seconds_to_cache(folder / "cache")
        runs = {how: {way: _measured(way, how, folder) for way in ("cached", "live")} for how in _HOWS}
    return [claim for how, words in _HOWS.items() for claim in _claims(words, asked, runs[how])]


def _seconds_to_cache(folder: Path) -> float:
    import torch

    torch.set_num_threads(1)
    began = time.process_time()
    cache_scores(folder, _ROWS, teach="train")
    return time.process_time() - began


def _measured(way: str, how: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.whole_run", way, how, str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _claims(words: str, asked: float, runs: dict[str, dict[str, Any]]) -> list[Claim]:
    cached, live = (runs[way] for way in ("cached", "live"))
    epochs = [after / own for own, after in zip(_each(cached["epochs"]), _each(live["epochs"]), strict=True)]
    spent = f"caching {asked:.0f} s, run from it {cached['whole']:.0f} s, live {live['whole']:.0f} s"
    own, other = (statistics.median(_each(one["epochs"])) for one in (cached, live))
    return [
        claim_of(
            f"an epoch with the live teacher, by one from the cache, {words}",
            epochs,
            at_least=2,
            detail=f"{other:.1f} s against {own:.1f}, the choice of a checkpoint included",
        ),
        claim_of(
            f"a run of {len(cached['epochs'])} epochs with the live teacher, by caching and one run, {words}",
            [live["whole"] / (asked + cached["whole"])],
            at_least=2,
            detail=spent,
        ),
        claim_of(
            f"{_RUNS} such runs with the live teacher, by caching and {_RUNS} runs, {words}",
            [_RUNS * live["whole"] / (asked + _RUNS * cached["whole"])],
            at_least=2,
            detail="computed from the row above",
        ),
    ]


def _each(ends: list[float]) -> list[float]:
    """Seconds of each epoch after the first, which has the set-up in it."""
    return [after - before for before, after in pairwise(ends)]
