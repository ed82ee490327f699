"""A finished run, opened from its folder: what it was, its student and its aligner."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from distill.adapter import BASE_KEY, CONFIG_NAME
from distill.aligner import TSAligner, dims_of
from distill.config import RunConfig, resolve
from distill.export import ALIGNER_NAME, STUDENT_FOLDER
from distill.store import lost
from schemas.cache import TeacherCache
from schemas.errors import AnalysisError
from schemas.result import RunResult, read_result
from schemas.tasks import TaskSpec, find_task


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run.

    Attributes:
        folder: of the run.
        result: that it left.
        run: its configuration; the device is this machine's own.
    """

    folder: Path
    result: RunResult
    run: RunConfig

    @property
    def task(self) -> TaskSpec:
        """Of the run."""
        return find_task(self.run.task)

    def fits(self, cache: TeacherCache) -> None:
        """Refuse a cache that the run was not made from.

        Raises:
            AnalysisError: it is another.
        """
        origin, found = self.result.cache, cache.manifest.digest
        if origin.digest != found:
            raise AnalysisError(
                f"{self.folder} was made from the cache {origin.name} ({origin.digest[:8]}), {cache.folder} "
                f"is {found[:8]}; give the cache that the run read"
            )


def open_run(folder: Path) -> Finished:
    """Open a finished run.

    Raises:
        ResultError: the folder holds none.
        AnalysisError: it has lost its student, its aligner or its predictions.
    """
    result = read_result(folder)
    if gone := lost(folder):
        raise AnalysisError(
            f"{folder}: {gone[0]} of the finished run is gone; run the same distill line again"
        )
    # run.json has the student's name alone. A plain one stands in the folder; an adapter names its base.
    place = folder / STUDENT_FOLDER
    adapter = place / CONFIG_NAME
    student = json.loads(adapter.read_bytes())[BASE_KEY] if adapter.exists() else str(place)
    run = resolve({**result.config, "student": student}, result.cache.teacher.modality)
    return Finished(folder, result, replace(run, device="auto"))


def load_aligner(finished: Finished, device: torch.device) -> TSAligner:
    """The aligner of a finished run, ready to answer.

    Raises:
        AnalysisError: the run has none, or its weights cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    how, width = finished.run.distillation, finished.result.cache.teacher.repr_dim
    if how is None or width is None:
        raise AnalysisError(
            f"{finished.folder}: a run of --method {finished.run.method} has no aligner; give one of armada"
        )
    path = finished.folder / ALIGNER_NAME
    try:
        weights = load_file(path)
        dims = dims_of(how, width, len(weights["output_head.1.bias"]))
        aligner = TSAligner(dims, how.aligner, auxiliary=how.gamma > 0)
        aligner.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AnalysisError(f"{path} cannot be read ({reason}); run the same distill line again") from None
    return aligner.to(device).eval()
