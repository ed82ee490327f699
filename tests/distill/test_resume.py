"""Runs that are killed, stopped and refused, as a user starts them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from schemas.cache import TeacherCache

ROOT = Path(__file__).parents[2]
OPTIONS = (
    *("--batch-size", "8", "--epochs", "3", "--max-length", "32", "--hidden-dim", "16", "--lr", "1e-3"),
    *("--lr-schedule", "linear", "--warmup", "0.2", "--accumulate", "2", "--quiet"),
)
# Holds what takes seconds to import, and forks a process for each run. With `after`, the process sends itself
# a signal after so many batches: `kill -9` from outside would come no differently.
NURSERY = """
import json, os, signal, sys
from distill import cli, training, trainer
import matplotlib, scipy.stats, sklearn.metrics, torch._dynamo, transformers.models.bert.modeling_bert
from transformers import AutoModelForSequenceClassification, BertTokenizerFast
moved, left = training.Training._moved, 0
def counted(self, num_rows):
    global left
    moved(self, num_rows)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.Signals[request["by"]])
training.Training._moved = counted
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        left, sys.argv, status = request["after"], ["distill", *request["arguments"]], 1
        try:
            cli.main()
        except SystemExit as exit:
            status = exit.code
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Done:
    returncode: int
    stderr: str


Start = Callable[..., Done]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ARMADA_CACHE_DIR": str(tmp_path_factory.mktemp("tokens")),
    }
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def start(nursery: subprocess.Popen[str], cache: TeacherCache, tiny_student: Path, tmp_path: Path) -> Start:
    """Run `distill` into a folder, in a process of its own."""

    def run(out: Path, *options: str, after: int = 0, by: str = "SIGKILL") -> Done:
        where = ["--shards", str(cache.folder), "--student", str(tiny_student), "--out", str(out)]
        stderr = tmp_path / "stderr"
        request = {"arguments": [*where, *OPTIONS, *options], "after": after, "by": by, "stderr": str(stderr)}
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(json.dumps(request) + "\n")
        nursery.stdin.flush()
        return Done(int(nursery.stdout.readline()), stderr.read_text())

    return run


def made(folder: Path) -> dict[str, bytes]:
    """All that a run leaves and no clock was in."""
    names = ("aligner.safetensors", "metrics.jsonl", "predictions.parquet", "student/model.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


def refused(done: Done, *parts: str, status: int = 1) -> None:
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_killed_at_any_step_it_ends_as_if_it_was_not(start: Start, tmp_path: Path, precision: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, "--precision", precision).returncode == 0
    options = ("--precision", precision, "--checkpoint-every", "3")
    random = np.random.default_rng()
    for steps in [*random.integers(3, 23, 3).tolist()]:
        assert start(killed, *options, after=steps).returncode == -signal.SIGKILL, steps
        kept = sorted(entry.name.partition("-")[0] for entry in (killed / "checkpoint").iterdir())
        assert kept in (["latest.json", "step"], ["best", "latest.json", "step"])
    assert start(killed, *options, "--resume", "must").returncode == 0
    assert made(killed) == made(whole)
    assert not (killed / "checkpoint").exists()


def test_sigterm_saves_and_leaves(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = start(folder, after=7, by="SIGTERM")
    refused(done, "stopped by SIGTERM after step 8, which is saved; the same command goes on", status=143)
    state = json.loads((folder / "checkpoint" / "step-8" / "state.json").read_text())
    assert state["facts"]["place"] == [0, 8, 64, 8]
    lines = (folder / "metrics.jsonl").read_bytes()
    assert (lines.count(b"\n"), len(lines)) == (8, state["facts"]["log_bytes"])
    done = start(folder, after=2, by="SIGINT")
    refused(done, "stopped by SIGINT after step 10", status=130)
