"""Keeping a run: when its checkpoints are written, and how it stops when it is asked to."""

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from distill.checkpoint import Checkpoints
from distill.processes import ALONE, Processes
from distill.session import Session
from distill.state import capture, is_finite, restore, surroundings
from distill.tracking import MetricLog
from distill.training import Training
from schemas.console import say
from schemas.errors import ResultError, StoppedError, StudentError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Keeper:
    """Writes checkpoints of one run. Its methods are collective; of several processes the main one writes.

    Args:
        checkpoints: of the run.
        session: that says how often.
        log_path: `metrics.jsonl`, cut back to the checkpoint when the run goes on.
        processes: of the run.
    """

    def __init__(
        self, checkpoints: Checkpoints, session: Session, log_path: Path, processes: Processes = ALONE
    ) -> None:
        self._checkpoints, self._session, self._log_path = checkpoints, session, log_path
        self._processes = processes
        self._stop = 0
        self._step, self._last, self._cost = 0, time.monotonic(), 0.0
        self.notes: tuple[str, ...] = ()

    def resume(self, training: Training, *, quiet: bool) -> None:
        """Bring a training to where the newest checkpoint left it, or leave it at its beginning.

        Raises:
            ResultError: there is none and one must be, or it cannot be used.
        """
        if not self._processes.from_main(self._processes.is_main and self._is_to_go_on()):
            return
        snapshot = self._checkpoints.load()
        if self._processes.is_main:
            self._cut_log(snapshot.facts["log_bytes"])
        restore(training, snapshot)
        self._step = training.place.total_steps
        self.notes = tuple(snapshot.facts["notes"])
        self._note_change(snapshot.facts["ran_on"], surroundings(training))
        say(f"going on after step {self._step}", quiet=quiet)

    def _is_to_go_on(self) -> bool:
        if self._session.resume == "never":
            self._checkpoints.remove()
        if self._checkpoints.exist:
            return True
        if self._session.resume == "must":
            raise ResultError(
                f"{self._checkpoints.folder}: no checkpoint to go on from; leave out --resume must"
            )
        self._log_path.unlink(missing_ok=True)
        return False

    def _note_change(self, before: str, now: str) -> None:
        if before != now:
            note = f"trained on {before} first, then on {now}: not bit for bit a run on one of them"
            self.notes = (*self.notes, note)

    def _cut_log(self, size: int) -> None:
        found = self._log_path.stat().st_size if self._log_path.exists() else 0
        if found < size:
            raise ResultError(
                f"{self._log_path} has {found} bytes, the checkpoint wants {size}; --resume never starts anew"
            )
        os.truncate(self._log_path, size)

    def after_step(self, training: Training, log: MetricLog, *, ends_pass: bool) -> None:
        """Write a checkpoint where one is due, and stop where that was asked.

        Raises:
            StoppedError: SIGTERM or Ctrl-C came.
            StudentError: a weight is no longer a number.
            OSError: the disk refuses; the last checkpoint stays.
        """
        steps, seconds = training.place.total_steps - self._step, time.monotonic() - self._last
        due = self._session.every.due(steps, seconds, self._cost, ends_pass=ends_pass)
        # Signals reach processes at different steps, and clocks differ: what one wants, all do.
        is_due, stop = self._processes.highest([int(due and self._processes.is_main), self._stop])
        if is_due or stop:
            self._save(training, log)
        if stop:
            raise StoppedError(
                f"stopped by {signal.Signals(stop).name} after step {training.place.total_steps}, which is "
                "saved; the same command goes on",
                128 + stop,
            )

    def _save(self, training: Training, log: MetricLog) -> None:
        if not is_finite(training):
            raise StudentError(
                f"step {training.place.total_steps}: a weight is not finite, so it is not saved; "
                "lower --lr or --aligner-lr"
            )
        started = time.monotonic()
        with training.clock.part("checkpoint"):
            writes = self._processes.is_main
            facts = {"log_bytes": log.secure() if writes else 0, "notes": self.notes}
            snapshot = capture(training, facts)
            if writes:
                self._checkpoints.save(snapshot)
        self._step, self._last = training.place.total_steps, time.monotonic()
        self._cost = self._last - started

    @contextmanager
    def listening(self) -> Generator[None]:
        """Take SIGTERM and Ctrl-C as a wish to stop after the step; a second one acts at once.

        Not where a launcher is: it sends one on that the terminal has sent already, and kills who stays.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self._hear) for one in _SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._stop = number
        if self._processes.grouped:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
