"""The result of one run of stage two: what was measured, with what, on what."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from schemas.errors import ResultError
from schemas.files import write_text
from schemas.manifest import Record, TeacherIdentity
from schemas.manifest_file import first_fault

RESULT_VERSION = 1
RESULT_NAME = "run.json"


class CacheOrigin(Record):
    """Which cache a run read.

    Attributes:
        name: last part of the cache's folder; no path of a machine.
        digest: `CacheManifest.digest`.
        teacher: who answered.
        rows: rows in the cache.
    """

    name: str
    digest: str
    teacher: TeacherIdentity
    rows: int


class RunResult(Record):
    """One finished run.

    Attributes:
        result_version: of this file.
        config: the resolved configuration, whole; of the student's folder its name, no path of a machine.
        config_hash: digest of the part of it that changes results, with the cache's digest.
        student_digest: of the student's files before training.
        cache: where the data came from.
        protocol: on which rows the checkpoint was chosen and on which it is reported.
        metrics: who answered (`student`, `student_aux`, `aligner`, `aligner_aux`, `majority`), metric, value.
        selection: epoch chosen (from 1), the metric it was chosen by and its value.
        num_rows: rows trained on, selected on, reported on.
        num_parameters: of student and aligner, trainable and in all.
        seconds: by part of the run.
        peak_memory_bytes: resident memory at its highest in any session; on CUDA, of the device too.
        versions: python, torch, transformers and the like.
        device: what it ran on.
        notes: what a reader must know, such as batch statistics under accumulation.
    """

    result_version: Literal[1] = RESULT_VERSION
    config: dict[str, Any]
    config_hash: str
    student_digest: str = ""
    cache: CacheOrigin
    protocol: str
    metrics: dict[str, dict[str, float]]
    selection: dict[str, float | str]
    num_rows: dict[str, int]
    num_parameters: dict[str, int]
    seconds: dict[str, float]
    peak_memory_bytes: dict[str, int]
    versions: dict[str, str]
    device: str
    notes: tuple[str, ...] = ()


def write_result(folder: Path, result: RunResult) -> None:
    """Write `run.json` whole; its presence is what says that the run is finished."""
    write_text(folder / RESULT_NAME, result.model_dump_json(indent=1) + "\n")


def read_result(folder: Path) -> RunResult:
    """Read and check the result of a finished run.

    Raises:
        ResultError: it is missing, cut short, or of another version.
    """
    path = folder / RESULT_NAME
    try:
        raw = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ResultError(
            f"{folder}: no {RESULT_NAME}, so no finished run; run distill --out {folder}"
        ) from None
    except ValueError as error:
        raise ResultError(
            f"{path} is cut short or damaged ({error}); delete it and run distill again"
        ) from None
    version = raw.get("result_version") if isinstance(raw, dict) else None
    if version != RESULT_VERSION:
        raise ResultError(
            f"{path} has result version {version}, this reader needs {RESULT_VERSION}; run distill again"
        )
    try:
        return RunResult.model_validate(raw)
    except ValidationError as error:
        raise ResultError(
            f"{path} is damaged: {first_fault(error)}; delete it and run distill again"
        ) from None
