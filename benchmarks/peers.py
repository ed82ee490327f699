"""Peers: TRL's trainers on the same model, rows and precision, adapters of rank 8.

Each way of each round runs in a process of its own in `.venv-peers`, in turn (benchmarks/peer_steps.py):
batches of 4 rows of chain-sum, 62 tokens on average, one thread, bfloat16 autocast, no gradient
checkpointing. Cross-entropy trains SmolLM2-135M-Instruct; ours is `--method undistilled`, TRL's
SFTTrainer. KD trains its first 12 layers with all 30 as the teacher; ours reads the cache and adds
cross-entropy, TRL's GKDTrainer asks the teacher in every step. Making the cache is not in these figures:
benchmarks/whole_runs.py counts it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from benchmarks.language_model import MODEL
from benchmarks.measure import ROOT, Claim, claim_of

_PYTHON = ROOT / ".venv-peers/bin/python"
_ROUNDS, _ROWS, _LAYERS = 3, 50, 12
_SIDES = ("ours", "trl")
_COMPARED = (
    ("cross-entropy", "a cross-entropy step with an adapter, by TRL's SFTTrainer"),
    ("kd", "a KD step from the cache with an adapter, by TRL's GKDTrainer with its live teacher"),
)


def run() -> list[Claim]:
    """Measure where TRL is; say in one line where it is not."""
    if not _PYTHON.exists():
        print("peers: no .venv-peers, so nothing is measured; run make peers-env first")
        sys.exit(0)
    with tempfile.TemporaryDirectory() as folder:
        folders = _prepare(Path(folder))
        rounds = [
            {f"{what}/{who}": _measured(f"{what}/{who}", folders[what]) for what in folders for who in _SIDES}
            for _ in range(_ROUNDS)
        ]
    return [claim for what, words in _COMPARED for claim in _claims(what, words, rounds)]


def _prepare(folder: Path) -> dict[str, Path]:
    """A folder for each comparison, with one cache and a student each."""
    cache_scores(folder / "cache", _ROWS)
    write_first_layers(folder / "first", _LAYERS)
    folders = {"cross-entropy": folder / "a", "kd": folder / "b"}
    for place, student in zip(folders.values(), (MODEL, folder / "first"), strict=True):
        place.mkdir()
        (place / "cache").symlink_to(folder / "cache")
        (place / "student").symlink_to(student)
    return folders


def cache_scores(folder: Path, rows: int, *, teach: Literal["all", "train"] = "all") -> None:
    """Have SmolLM2 score the right answers of some rows of chain-sum, of all splits or of one alone."""
    from teacher_cache.cache import cache_teacher
    from teacher_cache.config import CacheConfig

    cache_teacher(
        CacheConfig(
            model=f"transformers:{MODEL}",
            task="chain-sum",
            source=ROOT / "data/tasks/chain-sum",
            score="reference",
            store=("logprobs",),
            limit=rows,
            teach=teach,
            batch_size=8,
            out=folder,
            quiet=True,
        )
    )


def write_first_layers(folder: Path, layers: int) -> None:
    """Write SmolLM2's first layers as a model of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loader: Any = AutoModelForCausalLM
    model = loader.from_pretrained(MODEL, dtype=torch.float32)
    model.model.layers = model.model.layers[:layers]
    model.config.num_hidden_layers = layers
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(folder)


def _measured(way: str, folder: Path) -> dict[str, float]:
    quiet = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "OMP_NUM_THREADS": "1"}
    command = [str(_PYTHON), "-m", "benchmarks.peer_steps", way, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _claims(what: str, words: str, rounds: list[dict[str, dict[str, float]]]) -> list[Claim]:
    def claim(name: str, key: str, unit: str) -> Claim:
        pairs = [(one[f"{what}/ours"][key], one[f"{what}/trl"][key]) for one in rounds]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        return claim_of(
            f"{name} of {words}",
            [own / other for own, other in pairs],
            at_most=1,
            detail=f"{ours:.3g} {unit} against {theirs:.3g}",
        )

    return [claim("CPU time", "seconds", "s"), claim("peak memory", "megabytes", "MB")]
