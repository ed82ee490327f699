"""Groups of real processes that meet over gloo, as a launcher starts them, without its seconds of imports."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.cache import TeacherCache

ROOT = Path(__file__).parents[1]
# Holds what takes seconds to import, and forks the processes of each run. They meet at a store that it holds
# on a port that the system gives, as torchrun's agent does. `sabotage` is done in each process first.
NURSERY = """
import json, os, signal, sys
from distill import cli, dropout, processes, shards, training, trainer
import peft, scipy.stats, sklearn.metrics, torch._dynamo, torch.distributed.fsdp
import transformers.models.bert.modeling_bert, transformers.models.llama.modeling_llama
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BertTokenizerFast
from torch.distributed import TCPStore

def be(rank, count, port, request):
    # Kills what hangs; nothing waits for it that does not.
    signal.alarm(300)
    os.dup2(os.open(f"{request['stderr']}-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    if count:
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count),
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_USE_AGENT_STORE="True",
        )
    if not request["dropout"]:
        torch.nn.Dropout.forward = dropout.CheapDropout.forward = lambda self, values: values
    # Pictures of runs have tests of their own.
    trainer.draw_curves = lambda folder, log: None
    exec(request["sabotage"], {**globals(), "rank": rank})
    sys.argv, status = ["distill", *request["arguments"]], 1
    try:
        cli.main()
    except SystemExit as exit:
        status = exit.code
    except BaseException:
        import traceback
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)

for line in sys.stdin:
    request = json.loads(line)
    count = request["count"]
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    children = []
    for rank in range(max(1, count)):
        child = os.fork()
        if not child:
            be(rank, count, store.port, request)
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


@dataclass
class Done:
    """How a group of processes ended.

    Attributes:
        statuses: by rank.
        lines: that they said, all together.
        folder: that they wrote to.
    """

    statuses: list[int]
    lines: list[str]
    folder: Path

    def losses(self) -> list[dict[str, float]]:
        """The lines of `metrics.jsonl`."""
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]

    def result(self) -> dict[str, Any]:
        """What `run.json` holds."""
        return json.loads((self.folder / "run.json").read_text())


Start = Callable[..., Done]


def equal(one: Done, other: Done) -> None:
    """Hold losses, metrics and predictions of two runs to be the same but for rounding."""
    assert [list(line) for line in one.losses()] == [list(line) for line in other.losses()]
    for ours, theirs in zip(one.losses(), other.losses(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=2e-6)
    ours, theirs = one.result()["metrics"], other.result()["metrics"]
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name], rel=1e-4) for name in ours)
    tables = [pq.read_table(done.folder / "predictions.parquet") for done in (one, other)]
    assert tables[0].column("example_id") == tables[1].column("example_id")
    assert tables[0].column("predicted") == tables[1].column("predicted")


def stop_at(step: int) -> str:
    """Have the last process alone be told to stop, as if the others heard it later."""
    return f"""
moved = training.Training._moved
def stopped(self, num_rows):
    moved(self, num_rows)
    if self.place.total_steps == {step} and self.processes.rank == self.processes.count - 1:
        os.kill(os.getpid(), signal.SIGTERM)
training.Training._moved = stopped
"""


@pytest.fixture(scope="session")
def group_nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """Where groups of processes are born."""
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")},
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        # A library that looks for CUDA while it is imported must not take it away from those who are born.
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "ARMADA_CACHE_DIR": str(tmp_path_factory.mktemp("tokens")),
    }
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def start_group(group_nursery: subprocess.Popen[str], tmp_path: Path) -> Start:
    """Run `distill` in two processes, or `count` (0 is no group): `start_group(out, cache, student, ...)`."""

    def run(
        out: Path,
        cache: TeacherCache,
        student: Path,
        *options: str,
        count: int = 2,
        sabotage: str = "",
        dropout: bool = False,
    ) -> Done:
        where = ["--shards", str(cache.folder), "--student", str(student), "--out", str(out)]
        stderr = tmp_path / "stderr"
        request = {
            "arguments": [*where, "--precision", "fp32", "--quiet", *options],
            "count": count,
            "sabotage": sabotage,
            "dropout": dropout,
            "stderr": str(stderr),
        }
        assert group_nursery.stdin is not None
        assert group_nursery.stdout is not None
        group_nursery.stdin.write(json.dumps(request) + "\n")
        group_nursery.stdin.flush()
        statuses = json.loads(group_nursery.stdout.readline())
        said = [Path(f"{stderr}-{rank}").read_text() for rank in range(len(statuses))]
        return Done(statuses, [line for one in said for line in one.splitlines()], out)

    return run
