"""One run of the command: whether it may be made, where it is made already, and who makes it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from distill.config import RunConfig
from distill.processes import Processes
from distill.session import Session
from schemas.console import say
from schemas.errors import ConfigError


def folder_of(shards: str, *, quiet: bool) -> Path:
    """The folder that was given, or a copy on this machine of what a URL names."""
    if not shards:
        raise ConfigError("--shards is empty; give the folder of a teacher cache")
    from schemas.local_copy import local_copy

    return local_copy(shards, quiet=quiet)


def check_processes(run: RunConfig, session: Session, digest: str, processes: Processes) -> None:
    """Refuse what so many processes cannot do.

    Raises:
        ConfigError: a batch has fewer rows than there are processes, another run was asked of one of them, or
            --sharding cannot be.
    """
    if run.batch_size < processes.count:
        raise ConfigError(
            f"--batch-size {run.batch_size}: wanted at least {processes.count}, a row for each process; "
            "it is of all processes together"
        )
    if session.sharding != "none" and not processes.grouped:
        raise ConfigError(
            f"--sharding {session.sharding}: no processes to shard over; start with "
            "torchrun --nproc-per-node N -m distill"
        )
    if session.sharding != "none" and run.compile:
        raise ConfigError("--compile and --sharding full were not tried together; leave one out")
    if processes.from_main(digest) != digest:
        raise ConfigError(
            f"process {processes.rank} was asked for the run {digest[:8]}, the main one for another; "
            "start all with the same command, cache and student"
        )


def made(
    run: RunConfig,
    shards: Path,
    folder: Path,
    digest: str,
    *,
    session: Session,
    processes: Processes,
    quiet: bool,
) -> Any:
    """The result of a run, which is trained where it is not finished yet."""
    from distill.store import finished, lost

    result = finished(folder, digest) if processes.is_main else None
    doing = "finished already" if result else f"training {run.label}, seed {run.seed}"
    again = f": {gone[0]} of the finished run is gone" if (gone := lost(folder)) else ""
    say(f"{folder}: {doing}{again}", quiet=quiet)
    if processes.from_main(result is not None):
        return result
    return _train(run, shards, folder, digest, session=session, processes=processes, quiet=quiet)


def _train(
    run: RunConfig,
    shards: Path,
    folder: Path,
    digest: str,
    *,
    session: Session,
    processes: Processes,
    quiet: bool,
) -> Any:
    from distill.store import claimed
    from schemas.cache import open_cache

    # Bytes are checked once a machine.
    cache = open_cache(shards, verify=processes.local_rank == 0)
    with claimed(folder, run, digest) if processes.is_main else nullcontext() as made:
        if processes.from_main(made is not None):
            return made
        from distill.trainer import fit

        return fit(run, cache, folder, quiet=quiet, session=session, processes=processes)
