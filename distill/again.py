"""A finished run's student, asked again: to measure it on a split, or to answer for new texts."""

import json
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from pyarrow import csv

from distill.adapter import load, merge
from distill.config import RunConfig
from distill.disciplines import DISCIPLINES
from distill.export import MERGED_FOLDER, STUDENT_FOLDER, export_student, write_card
from distill.hardware import find_hardware, room_for_weights
from distill.pretrained import load_tokenizer, pad_alike, plain_errors, reason_of
from distill.respondent import Respondent, Rows
from distill.split import Split
from schemas.cache import TeacherCache
from schemas.errors import SourceError, StudentError
from schemas.files import whole_file
from schemas.result import RunResult
from schemas.tasks import TaskSpec, find_task

_ROWS = 128


def measure_again(run: RunConfig, cache: TeacherCache, folder: Path, split: str) -> dict[str, float]:
    """Metrics of a run's exported student on a split of the cache, in full precision.

    Args:
        run: that made it.
        cache: whose rows are read.
        folder: of the finished run.
        split: of the cache.

    Raises:
        CacheError: the cache has no such split, or nothing in it to measure on.
    """
    student, tokenizer, task, device = load_student(run, folder)
    discipline = DISCIPLINES[task.label_kind]
    alone = replace(run, method="undistilled", distillation=None, tokens=None)
    stream = discipline.stream(Split(cache, split, task), alone, tokenizer, device)
    return discipline.measure(alone, tokenizer, stream, student)


def predict(run: RunConfig, cache: TeacherCache, folder: Path, source: Path) -> Path:
    """Write what a run's student answers for each row of a file.

    Args:
        run: that made it.
        cache: that it learnt from, which says how prompts are put.
        folder: of the finished run; the answers go there.
        source: `.jsonl`, `.csv` or `.parquet` with the task's fields as columns, or below `fields` as in a
            source of stage one; `example_id` is kept.

    Returns:
        The file written: `predictions-NAME.parquet`.

    Raises:
        SourceError: the file cannot be read, or lacks a column.
    """
    chunks = _chunks(source)
    # The file is looked at before the student is loaded, which may take minutes.
    first = next(chunks, None)
    if first is None:
        raise SourceError(f"--predict {source}: no rows in it; give a file with some")
    student, tokenizer, task, _ = load_student(run, folder)
    who = Respondent(
        run=run, task=task, student=student, tokenizer=tokenizer, source=source, manifest=cache.manifest
    )
    path = folder / f"predictions-{source.stem}.parquet"
    with whole_file(path) as temporary, ExitStack() as stack:
        writer, done = None, 0
        for rows in chain([first], chunks):
            table = DISCIPLINES[task.label_kind].respond(who, rows, done)
            writer = writer or stack.enter_context(pq.ParquetWriter(temporary, table.schema))
            writer.write_table(table)
            done += len(rows)
    return path


def write_merged(run: RunConfig, folder: Path, result: RunResult) -> Path:
    """Write a finished run's adapter and its base as one plain folder, where that was not done before.

    Returns:
        The folder `merged`.
    """
    path = folder / MERGED_FOLDER
    if not (path / "README.md").exists():
        student, tokenizer, *_ = load_student(run, folder)
        export_student(path, merge(student.backbone), tokenizer)
        write_card(path, result)
    return path


def load_student(run: RunConfig, folder: Path) -> tuple[Any, Any, TaskSpec, torch.device]:
    """The student that a finished run left, ready to answer, with its tokenizer, its task and where it is.

    Raises:
        StudentError: it, or the base of its adapter, cannot be loaded.
    """
    task, device = find_task(run.task), find_hardware(run.device, "fp32").device
    place = folder / STUDENT_FOLDER
    discipline = DISCIPLINES[task.label_kind]
    base = discipline.plain(run.student, task)[0] if run.lora else None
    with _left_by_a_run(place):
        tokenizer = load_tokenizer(str(place))
        backbone, drawn = discipline.plain(str(place), task) if base is None else (base, ())
        if drawn:
            raise StudentError(f"no weights of {drawn[0]} that fit")
        pad_alike(backbone, tokenizer)
        student = discipline.student(backbone if base is None else load(base, place))
    with room_for_weights(device):
        return student.to(device).eval(), tokenizer, task, device


@contextmanager
def _left_by_a_run(place: Path) -> Generator[None]:
    """Say of a student that was whole once and cannot be loaded how it is made again."""
    try:
        with plain_errors(str(place)):
            yield
    except StudentError as error:
        raise StudentError(
            f"{place} cannot be loaded ({reason_of(error.__cause__ or error)}); "
            "delete this folder and run the distill command that made it once more"
        ) from None


def _chunks(source: Path) -> Iterator[Rows]:
    readers = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
    if source.suffix not in readers:
        raise SourceError(f"--predict {source}: wanted a file that ends in {', '.join(readers)}")
    try:
        for rows in readers[source.suffix](source):
            yield [_flat(row) for row in rows]
    except (OSError, ValueError) as error:
        raise SourceError(
            f"--predict {source}: cannot be read ({_reason(error)}); give another file"
        ) from None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the task's fields as columns, where it has them below `fields`."""
    fields = row.get("fields")
    return {**row, **fields} if isinstance(fields, dict) else row


def _reason(error: OSError | ValueError) -> str:
    # With an error number, each reader words the same fault in a way of its own.
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).splitlines()[0]


def _json_lines(source: Path) -> Iterator[Rows]:
    with source.open(encoding="utf-8-sig") as lines:
        rows = (_object(line) for line in lines if line.strip())
        while chunk := list(islice(rows, _ROWS)):
            yield chunk


def _object(line: str) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("a line is no JSON object")  # noqa: TRY004 - caught and named with the file
    return value


def _csv(source: Path) -> Iterator[Rows]:
    for batch in csv.open_csv(source):
        yield from _cut(batch.to_pylist())


def _parquet(source: Path) -> Iterator[Rows]:
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(_ROWS):
            yield batch.to_pylist()


def _cut(rows: Sequence[dict[str, Any]]) -> Iterator[Rows]:
    for start in range(0, len(rows), _ROWS):
        yield list(rows[start : start + _ROWS])
