"""The store filled: finished runs are skipped, those of other processes waited for, failures listed."""

import gc
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from distill.environment import settle
from distill.store import claimed, finished
from distill.studies.planning import Run
from schemas.cache import TeacherCache, open_cache
from schemas.console import Advance, progress, say
from schemas.errors import ArmadaError, LockedError, StoppedError
from schemas.files import write_text
from schemas.result import RunResult

_SECONDS_BETWEEN_LOOKS = 1.0
Fit = Callable[[Run, TeacherCache], RunResult]


@dataclass(slots=True)
class Outcome:
    """What became of some runs.

    Attributes:
        results: of those that are finished, by folder.
        made: how many of them this process made.
        failed: why others are not, by folder.
    """

    results: dict[Path, RunResult] = field(default_factory=dict)
    made: int = 0
    failed: dict[Path, str] = field(default_factory=dict)


def look(runs: Iterable[Run]) -> Outcome:
    """What is in the store already, nothing run."""
    outcome = Outcome()
    for run in runs:
        try:
            result = finished(run.folder, run.digest)
        except ArmadaError as error:
            outcome.failed[run.folder] = str(error)
            continue
        if result is not None:
            outcome.results[run.folder] = result
        elif (note := _failure_file(run.folder)).exists():
            outcome.failed[run.folder] = note.read_text(encoding="utf-8").strip()
    return outcome


def make(runs: Iterable[Run], *, fit: Fit | None = None, quiet: bool = False) -> Outcome:
    """Make every run that is not finished, one after another in this process.

    A run that fails leaves one line beside its folder and is tried again by the next call; the others go on.

    Args:
        runs: of the plan, each once.
        fit: what makes one; the trainer if not given.
        quiet: show no progress.

    Raises:
        StoppedError: SIGTERM or Ctrl-C came; the run under way has saved what it did.
    """
    pending, outcome = list(runs), Outcome()
    fit = fit or _train
    with progress("paper-tables", len(pending), "runs", quiet=quiet) as advance:
        while pending:
            before = len(pending)
            pending = [run for run in pending if not _done(run, outcome, fit, advance)]
            if len(pending) == before:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
    return outcome


def _done(run: Run, outcome: Outcome, fit: Fit, advance: Advance) -> bool:
    """Finish a run or find it finished; False where another process is at it."""
    try:
        result = finished(run.folder, run.digest)
        if result is None:
            result = _claim_and_fit(run, outcome, fit)
            _failure_file(run.folder).unlink(missing_ok=True)
    except LockedError:
        return False
    except StoppedError:
        raise
    except Exception as error:  # noqa: BLE001 - one run that breaks must not end a night of others
        _note_failure(run, outcome, error)
    else:
        outcome.results[run.folder] = result
    advance(1, f"{run.config.task} {run.config.label}, seed {run.config.seed}")
    return True


def _claim_and_fit(run: Run, outcome: Outcome, fit: Fit) -> RunResult:
    with claimed(run.folder, run.config, run.digest) as made:
        if made is not None:
            return made
        result = fit(run, _checked(run.cache))
    outcome.made += 1
    return result


def _note_failure(run: Run, outcome: Outcome, error: Exception) -> None:
    name = "" if isinstance(error, ArmadaError) else f"{type(error).__name__}: "
    line = f"{name}{' '.join(str(error).split())}"
    outcome.failed[run.folder] = line
    say(f"{run.folder} failed: {line}")
    if not isinstance(error, OSError):
        write_text(_failure_file(run.folder), f"{line}\n")


def _failure_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.failed")


def _train(run: Run, cache: TeacherCache) -> RunResult:
    settle()
    from distill.trainer import fit

    _forget_peak_memory()
    try:
        return fit(run.config, cache, run.folder, quiet=True)
    finally:
        gc.collect()


_whole: dict[str, TeacherCache] = {}


def _checked(cache: TeacherCache) -> TeacherCache:
    """The cache, every byte of it compared once in this process."""
    digest = cache.manifest.digest
    if digest not in _whole:
        _whole[digest] = open_cache(cache.folder)
    return _whole[digest]


def _forget_peak_memory() -> None:
    """Let the highest memory be counted anew, so that a run does not report that of one before it."""
    with suppress(OSError):
        # 5 resets the peak of the resident set (Linux, proc(5)); elsewhere there is no such file.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
