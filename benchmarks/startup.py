"""Startup: `--help`, imports and the way to the first trained step, beside bare imports.

Each round starts every command once, in turn, in a process of its own, with the files that Python compiled in
the disk's cache. The first trained step is that of MiniLM on movie sentences that were tokenised before, told
by the first line of `metrics.jsonl`.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import ROOT, Claim, claim_of, seconds_of

COMMANDS = ("cache-teacher", "teacher-shards", "distill", "paper-tables")
_ROUNDS, _STEP_ROUNDS, _LONGEST = 7, 3, 300.0
_BIN = Path(sys.executable).parent
_BARE = {
    "click": "import click",
    "torch": "import torch",
    "both": "import torch, transformers",
    "models": "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
    "contract": "import schemas.cache",
    "trainer": "import distill.trainer",
}


def run() -> list[Claim]:
    """Measure the claims, everything of a round in turn."""
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "cache"
        _call(_BIN / "cache-teacher", *_request(shards))
        # What follows finds compiled files, and tokens.
        _seconds_to_step(shards)
        quick = [_round() for _ in range(_ROUNDS)]
        steps = [(_seconds_to_step(shards), _python("both")) for _ in range(_STEP_ROUNDS)]
    return [*_help_claims(quick), *_import_claims(quick), _step_claim(steps)]


def _round() -> dict[str, float]:
    helps = {name: seconds_of(lambda name=name: _call(_BIN / name, "--help")) for name in COMMANDS}
    return {**helps, **{name: _python(name) for name in _BARE}}


def _help_claims(rounds: list[dict[str, float]]) -> list[Claim]:
    slowest = max(COMMANDS, key=lambda name: _median(rounds, name))
    return [
        *(_ratio(f"seconds of `{name} --help`", rounds, name, "click", at_most=4) for name in COMMANDS),
        claim_of("seconds of the slowest `--help`", [one[slowest] for one in rounds], at_most=0.5),
    ]


def _import_claims(rounds: list[dict[str, float]]) -> list[Claim]:
    return [
        _ratio(f"seconds of `{_BARE['contract']}`", rounds, "contract", "torch", at_most=0.5),
        _ratio(f"seconds of `{_BARE['trainer']}`", rounds, "trainer", "models", at_most=1.2),
        _ratio(f"seconds of `{_BARE['models']}`", rounds, "models", "both"),
    ]


def _ratio(
    claim: str, rounds: list[dict[str, float]], ours: str, bare: str, *, at_most: float | None = None
) -> Claim:
    return claim_of(
        f"{claim}, by those of `python -c '{_BARE[bare]}'`",
        [one[ours] / one[bare] for one in rounds],
        at_most=at_most,
        detail=f"{_median(rounds, ours):.2f} s against {_median(rounds, bare):.2f}",
    )


def _step_claim(pairs: list[tuple[float, float]]) -> Claim:
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    return claim_of(
        f"seconds from `distill` to its first trained step, by those of `python -c '{_BARE['both']}'`",
        [step / imports for step, imports in pairs],
        detail=f"{ours:.1f} s against {bare:.1f}",
    )


def _median(rounds: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in rounds)


def _python(name: str) -> float:
    return seconds_of(lambda: _call(sys.executable, "-c", _BARE[name]))


def _call(*command: object) -> None:
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)


def _request(shards: Path) -> list[object]:
    source = ROOT / "data/tasks/movie-reviews"
    return ["--model", "none:", "--source", source, "--limit", 320, "--out", shards, "--quiet"]


def _seconds_to_step(shards: Path) -> float:
    """Seconds from the command line to the first line of losses; the run is ended there."""
    with tempfile.TemporaryDirectory() as out:
        metrics = Path(out) / "metrics.jsonl"
        options = ["--shards", shards, "--method", "undistilled", "--out", out, "--quiet"]
        started = time.perf_counter()
        training = subprocess.Popen(list(map(str, [_BIN / "distill", *options])), cwd=ROOT)
        try:
            while not (metrics.exists() and metrics.stat().st_size):
                seconds = time.perf_counter() - started
                assert training.poll() is None, "distill ended before its first step"
                assert seconds < _LONGEST, "distill comes to no step"
                time.sleep(0.005)
            return time.perf_counter() - started
        finally:
            training.kill()
            training.wait()
