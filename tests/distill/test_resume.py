"""Runs that are killed, stopped and refused, as a user starts them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill import training
from distill.config import resolve
from distill.schedules import SCHEDULES
from distill.session import Every, Session
from distill.trainer import fit
from distill.training import Training
from schemas.cache import TeacherCache

ROOT = Path(__file__).parents[2]
OPTIONS = (
    *("--batch-size", "8", "--epochs", "3", "--max-length", "32", "--hidden-dim", "16", "--lr", "1e-2"),
    *("--aligner-lr", "5e-3", "--alpha", "0.2"),
    *("--lr-schedule", "linear", "--warmup", "0.2", "--accumulate", "2", "--quiet"),
)
# Holds what takes seconds to import, and forks a process for each run. With `after`, the process sends itself
# a signal after so many batches: `kill -9` from outside would come no differently.
NURSERY = """
import json, os, resource, signal, sys
from distill import cli, training, trainer
import matplotlib, scipy.stats, sklearn.metrics, torch._dynamo, transformers.models.bert.modeling_bert
from transformers import AutoModelForSequenceClassification, BertTokenizerFast
moved, left = training.Training._moved, 0
def counted(self, num_rows):
    global left
    moved(self, num_rows)
    left -= 1
    if left == 0 and request["by"] == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    elif left == 0:
        os.kill(os.getpid(), signal.Signals[request["by"]])
training.Training._moved = counted
# The last epoch is chosen always, so the weights that are compared have seen every step.
select = training.Training._select
def last(self, *arguments):
    self.best.value = float("-inf")
    select(self, *arguments)
training.Training._select = last
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
    num_steps, saved = (whole / "metrics.jsonl").read_text().count('"step"'), 0
    # The first checkpoint comes after batch 4, where a step of two batches ends; each kill finds one.
    steps = np.random.default_rng(precision == "bf16").choice(np.arange(5, num_steps), 3, replace=False)
    for step in np.sort(steps).tolist():
        assert start(killed, *options, after=step - saved).returncode == -signal.SIGKILL, step
        kept = sorted(entry.name.partition("-")[0] for entry in (killed / "checkpoint").iterdir())
        assert kept in (["latest.json", "step"], ["best", "latest.json", "step"]), step
        saved = int(
            json.loads((killed / "checkpoint" / "latest.json").read_text())["newest"].partition("-")[2]
        )
    assert start(killed, *options, "--resume", "must").returncode == 0
    assert made(killed) == made(whole)
    assert json.loads((killed / "run.json").read_text())["selection"]["epoch"] == 3
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


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = start(folder, "--checkpoint-every", "4", after=5, by="full")
    refused(done, f"cannot write {folder}/checkpoint/", "File too large", "make room")
    assert sorted(entry.name for entry in (folder / "checkpoint").iterdir()) == ["latest.json", "step-4"]
    refused(start(folder, "--resume", "must", after=1, by="SIGTERM"), "after step 6", status=143)


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_very_end_leaves_no_finished_run(start: Start, tmp_path: Path) -> None:
    whole, full = tmp_path / "whole", tmp_path / "full"
    assert start(whole).returncode == 0
    num_steps = (whole / "metrics.jsonl").read_text().count('"step"')
    done = start(full, "--checkpoint-every", "1000", after=num_steps, by="full")
    refused(done, f"cannot write {full}/student: File too large", "make room")
    assert not (full / "run.json").exists()
    assert start(full).returncode == 0
    assert made(full) == made(whole)


def test_what_cannot_be_gone_on_from_is_one_line(start: Start, tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    refused(start(folder, "--resume", "must"), "no checkpoint to go on from", "leave out --resume must")
    refused(start(folder, "--checkpoint-every", "often"), "--checkpoint-every often", "60s", status=2)
    assert start(folder, after=4, by="SIGTERM").returncode == 143
    assert start(other, "--seed", "1", after=4, by="SIGTERM").returncode == 143
    shutil.rmtree(other / "checkpoint")
    shutil.copytree(folder / "checkpoint", other / "checkpoint")
    refused(start(other, "--seed", "1"), "step-4 belongs to the run", "--resume never starts anew")
    refused(start(other, "--seed", "1", "--resume", "never", after=2, by="SIGTERM"), "step 2", status=143)


class Killed(BaseException):
    """Ends a run as a signal would, inside this process."""


def test_a_result_has_the_time_and_the_memory_of_every_session(
    cache: TeacherCache, tiny_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"epochs": 1, "max_length": 32, "batch_size": 16, "method": "undistilled"}
    run = resolve({"task": "movie-sentiment", "student": str(tiny_student), **options}, "audio")
    session, moved = Session(every=Every(steps=1)), Training._moved

    def stopped(self: Training, num_rows: int) -> None:
        moved(self, num_rows)
        self.clock.seconds["student"] += 1000
        if self.place.total_steps == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_moved", stopped)
        patch.setattr(training, "peak_memory", lambda _: {"process": 1 << 50, "device": 3})
        with pytest.raises(Killed):
            fit(run, cache, tmp_path, quiet=True, session=session)
    result = fit(run, cache, tmp_path, quiet=True, session=session)
    assert result.peak_memory_bytes == {"process": 1 << 50, "device": 3}
    assert 1000 < result.seconds["student"] < 1100


@pytest.mark.slow
@given(
    rows=st.integers(6, 60),
    batch_size=st.integers(1, 16),
    accumulate=st.integers(1, 3),
    every=st.integers(1, 5),
    schedule=st.sampled_from(list(SCHEDULES)),
    data=st.data(),
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_goes_on_from_any_step(  # noqa: PLR0917 - hypothesis gives by name
    cache: TeacherCache,
    tiny_student: Path,
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    batch_size: int,
    accumulate: int,
    every: int,
    schedule: str,
    data: st.DataObject,
) -> None:
    options = {"batch_size": batch_size, "accumulate": accumulate, "schedule": schedule, "hidden_dim": 16}
    given_options = {"task": "movie-sentiment", "student": str(tiny_student), "limit_train": rows, **options}
    run = resolve({**given_options, "epochs": 2, "max_length": 32, "precision": "fp32"}, "audio")
    session = Session(every=Every(steps=every))
    whole, killed = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed")
    fit(run, cache, whole, quiet=True)
    num_steps = (whole / "metrics.jsonl").read_text().count('"step"')
    stops = data.draw(st.lists(st.integers(1, num_steps - 1), max_size=2).map(sorted), "stops")
    moved = Training._moved
    for stop in stops:

        def stopped(self: Training, num_rows: int, stop: int = stop) -> None:
            moved(self, num_rows)
            if self.place.total_steps == stop:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Training, "_moved", stopped)
            with pytest.raises(Killed):
                fit(run, cache, killed, quiet=True, session=session)
    fit(run, cache, killed, quiet=True, session=session)
    assert made(killed) == made(whole)
