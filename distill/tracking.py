"""Where the numbers of a run go while it trains: `metrics.jsonl` and, through accelerate, trackers."""

import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import ProjectConfiguration

PROJECT, TRACKING_FOLDER = "armada-distill", "tracking"
_SIMPLE = (bool, int, float, str)


class MetricLog:
    """Lines of numbers; of several processes the main one writes them.

    Args:
        file: `metrics.jsonl`, open; None writes nothing.
        accelerator: whose trackers get the same numbers.
    """

    def __init__(self, file: TextIO | None, accelerator: Accelerator) -> None:
        self._file, self._accelerator = file, accelerator

    def write(self, place: Mapping[str, int], values: Mapping[str, float], step: int) -> None:
        """Write a line.

        Args:
            place: epoch, from 1, and batch of the pass.
            values: by name.
            step: batches since the run began, by which trackers draw.
        """
        if self._file is None:
            return
        self._file.write(json.dumps({**place, **values}) + "\n")
        if self._accelerator.trackers:
            self._accelerator.log({**values, "epoch": place["epoch"]}, step=step)

    def secure(self) -> int:
        """Have the disk hold every line; returns the bytes of the file."""
        assert self._file is not None, "the main process alone writes checkpoints"
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size


@contextmanager
def metric_log(path: Path, accelerator: Accelerator) -> Generator[MetricLog]:
    """Add to a file of metrics, and end the trackers with it."""
    if not accelerator.is_main_process:
        yield MetricLog(None, accelerator)
        return
    with path.open("a", buffering=1, encoding="utf-8") as file:
        yield MetricLog(file, accelerator)
    # Accelerate's own end of a training ends the group of processes too.
    for tracker in accelerator.trackers:
        tracker.finish()


def build_accelerator(folder: Path, trackers: Sequence[str], *, cpu: bool) -> Accelerator:
    """What knows the device and speaks to trackers.

    Args:
        folder: of the run; trackers that write files do it below.
        trackers: by name.
        cpu: compute there.
    """
    _forget_another_device(cpu=cpu)
    logging = str(folder / TRACKING_FOLDER)
    # Precision is the run's own autocast: accelerate's is one for the whole process and copies outputs.
    return Accelerator(
        cpu=cpu,
        mixed_precision="no",
        log_with=list(trackers) or None,
        project_config=ProjectConfiguration(project_dir=logging, logging_dir=logging),
    )


def _forget_another_device(*, cpu: bool) -> None:
    """Have accelerate look for a device anew: else the first run of a process settles it for all."""
    held = PartialState._shared_state.get("device")  # noqa: SLF001 - nothing public tells
    if held is not None and (held.type == "cpu") is not cpu:
        AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001 - nothing public does it


def start_trackers(accelerator: Accelerator, name: str, folder: Path, options: Mapping[str, Any]) -> None:
    """Tell the trackers of a run.

    Args:
        accelerator: that has them.
        name: of the run.
        folder: that trackers write below.
        options: of the run; nothing in them is secret.
    """
    if not accelerator.log_with:
        return
    (folder / TRACKING_FOLDER).mkdir(exist_ok=True)
    simple = {key: value if isinstance(value, _SIMPLE) else str(value) for key, value in options.items()}
    own = {"wandb": {"name": name, "dir": str(folder / TRACKING_FOLDER)}}
    accelerator.init_trackers(PROJECT, config=simple, init_kwargs=own)
