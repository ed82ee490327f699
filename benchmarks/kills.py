"""Kills: what a thousand of them at random moments cost a cache.

The loop fills caches of 200 rows with a teacher that takes milliseconds; each process of it is killed with
SIGKILL at a random moment and started again, until there were a thousand kills. All caches are then compared
with one that nobody disturbed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.measure import ROOT, Claim, claim_of

KILLS, _ROWS = 1000, 200
_SCRIPT = ROOT / "tests/teacher_cache/kill_loop.py"
# Two processes, two calls each, three rows a call.
_IN_FLIGHT = 12


def run() -> list[Claim]:
    """Measure the four claims."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "asked.txt"
        counted = _kill(folder, log)
        whole = _bytes_of(folder / "whole")
        killed = sorted(folder.glob("killed-*"))
        differing = sum(_bytes_of(cache) != whole for cache in killed)
        wanted = {f"row-{row}" for row in range(_ROWS)}
        counts = [Counter(pl.read_parquet(f"{cache}/*.parquet")["example_id"]) for cache in killed]
        asked_again = len(log.read_text().splitlines()) - _ROWS * (len(killed) + 1)
    kills = counted["kills"]
    detail = f"{kills} kills over {len(killed)} caches of {_ROWS} rows"
    return [
        claim_of("rows lost", [sum(len(wanted - set(ids)) for ids in counts)], at_most=0, detail=detail),
        claim_of(
            "rows twice", [sum(n - 1 for ids in counts for n in ids.values())], at_most=0, detail=detail
        ),
        claim_of("caches whose bytes differ from the undisturbed one", [differing], at_most=0, detail=detail),
        claim_of(
            "rows asked again a kill",
            [asked_again / kills],
            at_most=_IN_FLIGHT,
            detail=f"{_IN_FLIGHT} rows are in flight",
        ),
    ]


def _kill(folder: Path, log: Path) -> dict[str, Any]:
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(_line(row)) + "\n" for row in range(_ROWS)))
    command = [sys.executable, str(_SCRIPT), str(prompts), str(folder), str(KILLS), "1"]
    environment = {"PYTHONPATH": str(ROOT), "FAST_DELAY": "0.002", "FAST_LOG": str(log)}
    finished = subprocess.run(
        command, env=os.environ | environment, check=True, capture_output=True, text=True
    )
    return json.loads(finished.stdout)


def _line(row: int) -> dict[str, Any]:
    split = "test" if row % 10 == 0 else "train"
    return {"example_id": f"row-{row}", "split": split, "fields": {"text": f"Sentence {row}."}}


def _bytes_of(folder: Path) -> dict[str, bytes]:
    files = [*folder.glob("*.parquet"), *folder.glob("*.safetensors")]
    return {path.name: path.read_bytes() for path in files}
