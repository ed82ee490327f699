"""The processes of one run: how many, which of them this one is, what they tell each other, and which speaks.

torchrun and accelerate launch start them; without either a run is alone. torch is imported where a group is
formed, so that --help answers at once.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from schemas.errors import ArmadaError, ConfigError

Value = TypeVar("Value")
_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# Until all are there; and, since processes that write texts are not done at once, for each other later.
_MEETING, _PATIENCE = timedelta(minutes=10), timedelta(hours=2)
_TOLD = "armada-distill/told"
# What gloo and NCCL say where another process is gone.
_GONE = ("connection", "peer", "remote process", "socket", "broken pipe")


class PeerError(ArmadaError):
    """Another process of the run has ended."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, seen from one of them. What is collective, all must call in the same order.

    Attributes:
        rank: of this one; 0 is the main one, which alone writes.
        count: of all.
        local_rank: of this one on its machine.
        local_count: of those on its machine.
        grouped: started by a launcher, be it as one.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    grouped: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def slice_of(self, size: int) -> slice:
        """This process's part of so many rows; those of all make the whole, and differ by one row at most."""
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def takes(self, number: int) -> bool:
        """Whether it is this process's turn at the piece of work of that number."""
        return number % self.count == self.rank

    def highest(self, values: Sequence[int]) -> list[int]:
        """The highest of each value over all processes; collective."""
        if self.count == 1:
            return list(values)
        import torch
        from torch import distributed

        held = torch.tensor(list(values), dtype=torch.int64)
        distributed.all_reduce(held, distributed.ReduceOp.MAX)
        return held.tolist()

    def gathered(self, value: Value) -> list[Value]:
        """What every process has, by rank; collective."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def from_main(self, value: Value) -> Value:
        """What the main process has; collective, so it is also where the others wait for it."""
        if self.count == 1:
            return value
        from torch import distributed

        held: list[Any] = [value]
        distributed.broadcast_object_list(held, src=0)
        return held[0]


ALONE = Processes()


@contextmanager
def joined() -> Generator[Processes]:
    """Join the group that a launcher started this process for, until the run ends.

    Raises:
        ConfigError: the environment names a group and does not say where it meets, or nobody is there.
        PeerError: another process has ended; it has told why, unless it was killed.
    """
    if "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    processes = _from_environment()
    from torch import cuda, distributed
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if cuda.is_available() else "gloo"
    try:
        store, rank, count = next(rendezvous("env://", timeout=_MEETING))
        distributed.init_process_group(backend, timeout=_PATIENCE, store=store, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"process {processes.rank} of {processes.count} found no group at {where} ({reason}); "
            f"start all with torchrun --nproc-per-node {processes.count}"
        ) from None
    try:
        yield processes
    except RuntimeError as error:
        if processes.count > 1 and _is_of_a_peer(error):
            raise PeerError(
                "another process of this run has ended; run the same command again: it goes on from the "
                "last checkpoint"
            ) from None
        raise
    distributed.destroy_process_group()


def _from_environment() -> Processes:
    count = os.environ["WORLD_SIZE"]
    if missing := [name for name in _NEEDED if name not in os.environ]:
        raise ConfigError(
            f"WORLD_SIZE is {count} and {missing[0]} is not set; start the processes with "
            f"torchrun --nproc-per-node {count} -m distill, or unset WORLD_SIZE"
        )
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise ConfigError(
            "ACCELERATE_USE_FSDP is true; give --sharding full in place of accelerate launch --use_fsdp"
        )
    try:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        rank, total, local_rank = (int(os.environ[name]) for name in names)
        local_count = int(os.environ.get("LOCAL_WORLD_SIZE", total))
    except ValueError:
        raise ConfigError(
            f"WORLD_SIZE is {count!r}, RANK {os.environ['RANK']!r}: wanted whole numbers; start the "
            "processes with torchrun"
        ) from None
    if not 0 <= rank < total:
        raise ConfigError(
            f"RANK is {rank} and WORLD_SIZE {total}: wanted a rank from 0 to {total - 1}; "
            "start the processes with torchrun"
        )
    return Processes(rank, total, local_rank, local_count, grouped=True)


def _is_of_a_peer(error: RuntimeError) -> bool:
    from torch.distributed import DistError

    said = str(error).lower()
    return isinstance(error, DistError) or ("gloo" in said and any(word in said for word in _GONE))


def speaks() -> bool:
    """Whether this process tells the error that ends it: of many the first, so that one line is told once."""
    if "WORLD_SIZE" not in os.environ:
        return True
    from torch import distributed

    if not distributed.is_initialized():
        # What is wrong with a command is so for every process on the machine.
        return os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        return distributed.distributed_c10d._get_default_store().add(_TOLD, 1) == 1  # noqa: SLF001 - no other way
    except RuntimeError:
        # The process that held the store is gone, and has told why.
        return False
