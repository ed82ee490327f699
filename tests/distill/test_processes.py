import pytest
import torch
from torch import nn

from distill.config import RunConfig, resolve
from distill.hardware import find_hardware
from distill.processes import ALONE, Processes, joined, speaks
from distill.running import check_processes
from distill.session import Session
from distill.sharding import shard
from schemas.errors import ConfigError

TWO = Processes(rank=1, count=2, local_rank=1, local_count=2, grouped=True)
NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "ACCELERATE_USE_FSDP"):
        monkeypatch.delenv(name, raising=False)


def configured(**options: object) -> RunConfig:
    given = {"task": "movie-sentiment", "student": "anything", "method": "undistilled", **options}
    return resolve(given, "audio")


def test_without_a_launcher_a_run_is_alone() -> None:
    with joined() as processes:
        assert processes is ALONE
    assert speaks()
    assert ALONE.gathered("it") == ["it"]
    assert ALONE.from_main("it") == "it"
    assert ALONE.highest([1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2 and RANK is not set; start the processes with torchrun"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "MASTER_ADDR is not set"),
        (
            {
                "WORLD_SIZE": "2",
                "RANK": "5",
                "LOCAL_RANK": "0",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": "1",
            },
            "RANK is 5 and WORLD_SIZE 2: wanted a rank from 0 to 1",
        ),
        (
            dict.fromkeys(NAMES, "1") | {"ACCELERATE_USE_FSDP": "true"},
            "give --sharding full in place of accelerate launch --use_fsdp",
        ),
        (dict.fromkeys(NAMES, "1") | {"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        (dict.fromkeys(NAMES, "1") | {"RANK": "0", "MASTER_PORT": "no port"}, "found no group at 1:no port"),
    ],
)
def test_a_group_that_cannot_meet_is_one_line(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], message: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message), joined():
        pass


def test_before_a_group_is_there_one_process_of_a_machine_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert speaks()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not speaks()


def test_what_processes_cannot_do_is_refused() -> None:
    check_processes(configured(batch_size=1), Session(), "digest", ALONE)
    with pytest.raises(ConfigError, match="--sharding full: no processes to shard over; start with torchrun"):
        check_processes(configured(), Session(sharding="full"), "digest", ALONE)
    with pytest.raises(ConfigError, match="--batch-size 1: wanted at least 2, a row for each process"):
        check_processes(configured(batch_size=1), Session(), "digest", TWO)
    with pytest.raises(ConfigError, match="--compile and --sharding full"):
        check_processes(configured(compile=True), Session(sharding="full"), "digest", TWO)


def test_more_processes_than_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="--device cuda: 2 processes on this machine and 1 CUDA devices"):
        find_hardware("cuda", "fp32", TWO)
    assert str(find_hardware("cpu", "fp32", TWO, sharded=True)).startswith("2 processes, each on cpu")


def test_what_has_no_layers_cannot_be_sharded() -> None:
    with pytest.raises(ConfigError, match="--sharding full: the student has no list of layers"):
        shard(nn.Linear(2, 2), torch.device("cpu"), TWO)
