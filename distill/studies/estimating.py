"""What is missing of a grid, in hours and gigabytes: from finished runs like it, else from what is known.

A note at the end says where each figure comes from; what nothing is known of is called unknown.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from distill.config import RunConfig
from distill.protocol import HELD_OUT_SHARE
from distill.studies.planning import Run
from distill.studies.running import Outcome
from distill.weights import name_of_student
from schemas.errors import ResultError
from schemas.result import RESULT_NAME, RunResult, read_result

# The paper's own figures for BERT-base at batch 32 and 128 tokens, on V100 and A100 (method, section 4).
_PAPER_STUDENT_STEP, _PAPER_ALIGNER_STEP, _PAPER_ROWS, _PAPER_TOKENS = 0.16, 0.02, 32, 128
_PAPER_MODEL = {"model_type": "bert", "num_hidden_layers": 12, "hidden_size": 768}
# Bytes a trained weight takes in float32: itself, its gradient, and AdamW's two moments.
_TRAINED_BYTES, _FROZEN_BYTES = 16, 4
_GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one kind of run.

    Attributes:
        seconds: of one run; None where unknown.
        source: where that comes from.
        memory: bytes at the highest, of the device where there is one; None where unknown.
        memory_source: where that comes from.
        measured_runs: finished ones that tell it.
    """

    seconds: float | None
    source: str
    memory: int | None
    memory_source: str
    measured_runs: int = 0


def estimate(runs: Sequence[Run], outcome: Outcome, store: Path) -> dict[str, Any]:
    """What would run.

    Args:
        runs: of the plan.
        outcome: of looking at the store.
        store: whose other finished runs may tell how long one takes.

    Returns:
        Counts, hours, kinds of runs, and all of it as lines.
    """
    missing = [run for run in runs if run.folder not in outcome.results]
    finished = _finished(store)
    kinds: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in missing:
        kinds[run.config.task, name_of_student(run.config.student), run.config.method].append(run)
    rows = []
    for (task, student, method), own in kinds.items():
        one = _estimate(own[0], finished)
        hours = None if one.seconds is None else one.seconds * len(own) / 3600
        rows.append(
            {
                "task": task,
                "student": student,
                "method": method,
                "runs": len(own),
                "hours": hours,
                "hours_from": one.source,
                "measured_runs": one.measured_runs,
                "memory_bytes": one.memory,
                "memory_from": one.memory_source,
            }
        )
    known = [row["hours"] for row in rows if row["hours"] is not None]
    summary = {
        "runs": len(runs),
        "finished": len(outcome.results),
        "failed": len(outcome.failed),
        "missing": len(missing),
        "hours": sum(known) if len(known) == len(rows) else None,
        "kinds": rows,
    }
    return {**summary, "lines": list(_lines(summary))}


def _lines(summary: dict[str, Any]) -> Iterable[str]:
    hours = "unknown" if summary["hours"] is None else f"about {summary['hours']:.2f}"
    first = f"{summary['missing']} of {summary['runs']} runs are missing"
    if summary["missing"]:
        first += f" ({summary['failed']} of them failed before); hours: {hours}, one run after another"
    yield first
    notes: dict[str, int] = {}
    for row in summary["kinds"]:
        took = "hours unknown" if row["hours"] is None else f"{row['hours']:.2f} h"
        memory = "memory unknown" if row["memory_bytes"] is None else f"{row['memory_bytes'] / _GIGA:.1f} GB"
        kind = f"{row['runs']} x {row['student']} on {row['task']}, {row['method']}"
        count = row["measured_runs"]
        by_runs = f" by {count} run{'s' * (count > 1)}" if count else ""
        hours_note, memory_note = (
            notes.setdefault(row[name], len(notes) + 1) for name in ("hours_from", "memory_from")
        )
        yield f"{kind}: {took}{by_runs} [{hours_note}]; {memory} [{memory_note}]"
    yield from (f"[{number}] {note}" for note, number in notes.items())


def _finished(store: Path) -> list[RunResult]:
    found = []
    for path in sorted(store.rglob(RESULT_NAME)):
        try:
            found.append(read_result(path.parent))
        except ResultError:
            continue
    return found


def _estimate(run: Run, finished: Sequence[RunResult]) -> Estimate:
    own = [one for one in finished if one.config["student"] == name_of_student(run.config.student)]
    alike = [one for one in own if one.config["method"] == run.config.method]
    same_task = [one for one in alike if one.config["task"] == run.config.task]
    if measured := same_task or alike or own:
        seconds = median(one.seconds["total"] / _rows_seen(one) for one in measured) * _rows_to_see(run)
        where = "" if same_task else " on other tasks" if alike else " by another method"
        devices = ", ".join(sorted({one.device for one in measured}))
        source = f"measured: finished runs of the same student{where}, by rows, on {devices}"
        peak = max(one.peak_memory_bytes.get("device", one.peak_memory_bytes["process"]) for one in measured)
        of_device = any("device" in one.peak_memory_bytes for one in measured)
        kind = "of the GPU" if of_device else "of the process, without a GPU"
        return Estimate(seconds, source, peak, f"measured, {kind}", len(measured))
    memory, memory_source = _least_memory(run.config)
    return Estimate(*_by_the_paper(run), memory, memory_source)


def _rows_seen(result: RunResult) -> int:
    return result.num_rows["train"] * result.config["epochs"] + result.num_rows["report"]


def _rows_to_see(run: Run) -> int:
    splits = run.cache.manifest.request.splits
    return _rows_of(run) * run.config.epochs + splits.get("validation", 0)


def _rows_of(run: Run) -> int:
    return rows_trained_on(run.cache.manifest.request.splits.get("train", 0), run.config)


def rows_trained_on(rows: int, config: RunConfig) -> int:
    """Of the rows of a training split: all but the tenth that is held out, or fewer."""
    kept = rows - -(-rows // HELD_OUT_SHARE) if config.protocol == "held-out" else rows
    return min(kept, config.limit_train or kept)


def _by_the_paper(run: Run) -> tuple[float | None, str]:
    model = _model_config(run.config.student)
    is_its_own = all(model.get(name) == value for name, value in _PAPER_MODEL.items())
    told = paper_steps(run.config, _rows_of(run)) if is_its_own else None
    if told is None:
        return None, "nothing measured: no finished run of this student in --store; make one and ask again"
    steps, step = told
    return (
        steps * step,
        f"the paper's step of {step:.2f} s on a V100 or A100, {steps} steps; not measured here",
    )


def paper_steps(config: RunConfig, rows: int) -> tuple[int, float] | None:
    """Steps, and the seconds that the paper gives for one of BERT-base; None for other batches and lengths.

    Args:
        config: of the run.
        rows: that it trains on.
    """
    if (config.batch_size, config.max_length) != (_PAPER_ROWS, _PAPER_TOKENS):
        return None
    steps = -(-rows // config.batch_size) * config.epochs
    return steps, _PAPER_STUDENT_STEP + (_PAPER_ALIGNER_STEP if config.distillation else 0)


def _least_memory(config: RunConfig) -> tuple[int | None, str]:
    """Bytes of weights and optimiser, by the sizes of the student's files."""
    folder = Path(config.student)
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    if not sizes:
        return None, "the student is not on this machine"
    each = 2 if _model_config(config.student).get("dtype") in ("bfloat16", "float16") else 4
    what = "weights alone, adapter" if config.lora else "weights, gradients and AdamW; activations"
    return (
        least_bytes(sum(sizes) // each, adapted=config.lora is not None),
        f"at least: {what} and batches come on top; not measured",
    )


def least_bytes(weights: int, *, adapted: bool) -> int:
    """Bytes of so many weights: with gradients and AdamW's moments where they are trained, else alone."""
    return weights * (_FROZEN_BYTES if adapted else _TRAINED_BYTES)


def _model_config(student: str) -> dict[str, Any]:
    path = Path(student) / "config.json"
    return json.loads(path.read_bytes()) if path.is_file() else {}
