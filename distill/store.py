"""The folder of a run: finished or not, ours or not, and one process at a time."""

import fcntl
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gethostname
from typing import IO

from distill.config import RunConfig, options_of
from distill.methods import METHODS
from schemas.errors import LockedError, ResultError
from schemas.files import write_text
from schemas.result import RESULT_NAME, RunResult, read_result

DEFAULT_STORE = Path("data/results")
CONFIG_NAME, LOCK_NAME, CHECKPOINT_NAME = "config.toml", ".lock", "checkpoint"
# A run has begun where its log or a checkpoint stands: one that was refused before leaves its settings alone.
_STARTED = ("metrics.jsonl", CHECKPOINT_NAME)
# What a result speaks of; each pattern must be met by a file with something in it.
_LEFT_BEHIND = (
    "student/config.json",
    "student/*.safetensors",
    "student/tokenizer.json",
    "predictions.parquet",
)
_LEFT_BY_DISTILLATION = ("aligner.safetensors",)


def default_folder(run: RunConfig, digest: str) -> Path:
    """Where a run goes that was given no folder; equal runs meet there."""
    return folder_in(DEFAULT_STORE, run, digest)


def folder_in(store: Path, run: RunConfig, digest: str) -> Path:
    """Where a run goes in a store; equal runs meet there."""
    return store / run.task / f"{run.label}-s{run.seed}-{digest[:8]}"


def finished(folder: Path, digest: str) -> RunResult | None:
    """The result of this run if it is finished there, None if it is still to be made.

    Raises:
        ResultError: the folder holds another run, or something that is no run.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise ResultError(f"--out {folder} is a file, wanted a folder; give another --out")
    if (folder / RESULT_NAME).exists():
        result = read_result(folder)
        _refuse_another(folder, result.config_hash, digest)
        if lost(folder):
            return None
        # Left where a kill came between the result and the end.
        shutil.rmtree(folder / CHECKPOINT_NAME, ignore_errors=True)
        return result
    if any((folder / name).exists() for name in _STARTED):
        first = _first_line(folder / CONFIG_NAME)
        _refuse_another(folder, first.rpartition(" ")[2], digest)
    elif foreign := sorted(entry.name for entry in folder.iterdir() if not _may_stand_first(entry.name)):
        raise ResultError(
            f"--out {folder} holds {foreign[0]}, which is no run of distill; give an empty folder"
        )
    return None


def _may_stand_first(name: str) -> bool:
    """Whether a run that has not begun leaves such a file: its settings, its lock, a file half written."""
    return name == CONFIG_NAME or name.startswith(".")


def lost(folder: Path) -> list[str]:
    """What a result in a folder speaks of and is no longer there: that run is to be made again."""
    if not (folder / RESULT_NAME).exists():
        return []
    distilled = METHODS[read_result(folder).config["method"]].distils
    wanted = (*_LEFT_BEHIND, *(_LEFT_BY_DISTILLATION if distilled else ()))
    return [name for name in wanted if not any(path.stat().st_size for path in folder.glob(name))]


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error}); give another --out") from None


def _refuse_another(folder: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise ResultError(
            f"--out {folder} holds the run {found[:8]}, this one is {wanted[:8]}; give another --out"
        )


def beside(folder: Path) -> list[tuple[Path, RunResult]]:
    """The finished runs of the store that a run stands in; what cannot be read is no finished run."""
    found = []
    for path in sorted(folder.parent.glob(f"*/{RESULT_NAME}")):
        with suppress(ResultError):
            found.append((path.parent, read_result(path.parent)))
    return found


@contextmanager
def claimed(folder: Path, run: RunConfig, digest: str) -> Generator[RunResult | None]:
    """Hold a run's folder, its configuration written, until the run ends.

    Yields:
        The result, where another process has finished the run since the caller looked; None where it is to be
        made.

    Raises:
        LockedError: another process trains there.
        ResultError: the folder holds another run, or something that is no run.
    """
    finished(folder, digest)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_NAME).open("a+") as lock:
        _hold(lock, folder)
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {gethostname()}")
        lock.flush()
        # Asked again, now that nobody else can be at it.
        result = finished(folder, digest)
        if result is None:
            write_text(folder / CONFIG_NAME, as_toml(run, digest))
            # Of a run that has lost what it left: a kill from here on must not leave it standing.
            (folder / RESULT_NAME).unlink(missing_ok=True)
        yield result
        (folder / LOCK_NAME).unlink()


def _hold(lock: IO[str], folder: Path) -> None:
    """Take a lock file, which whoever held it before may have deleted meanwhile."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = os.fstat(lock.fileno()).st_nlink == 0
    except BlockingIOError:
        taken = True
    if taken:
        lock.seek(0)
        raise LockedError(
            f"--out {folder}: process {lock.read().strip() or 'unknown'} trains there; wait for it"
        )


def as_toml(run: RunConfig, digest: str) -> str:
    """The run as a file that `distill --config` reads."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in options_of(run).items() if name != "task"]
    return "\n".join([f"# run {digest}", *lines, ""])
