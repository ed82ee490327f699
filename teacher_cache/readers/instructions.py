"""The five sets of instruction tuning, each as its publisher ships it, in a folder of its own name.

`dolly/databricks-dolly-15k.jsonl`, `selfinst/user_oriented_instructions.jsonl`, `vicuna/question.jsonl`
with one `answer_*.jsonl` of a reference model, `sni/tasks/*.json` with `sni/splits/default/test_tasks.txt`,
and `uni/core_data.jsonl`. Any of them may be `test.jsonl` (Dolly's with `train.jsonl`) instead, with
`instruction`, `input` and `output`.

Of Dolly 500 rows, by a hash of each, are reported, the others are learnt from. Of SNI the first hundred
instances of a task count, and of SNI and UNI those alone whose reference has more than ten words; of UNI
the first 2000 of them.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.instruction_sets import (
    InstructionRow,
    of_dolly,
    plain_rows,
    records_of,
    rows_of_set,
)
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked
from teacher_cache.readers.reading import Reading, joined

NUM_DOLLY_REPORTED = 500
_DOLLY = "dolly"
_SEED = 20260311


def read_instructions(source: Path, task: TaskSpec) -> Reading:
    """Read Dolly's rows to learn from as `train`, and the task's sets as `validation`.

    Args:
        source: the folder with one folder a set.
        task: one of instructions.

    Raises:
        SourceError: a file is missing or not as it should be.
    """
    learnt, reported = _dolly(source / _DOLLY, task)
    readings = [_gathered(learnt, "train", "dolly-train", task)]
    for part in task.parts or (task.name.partition("/")[2],):
        rows = reported if part == _DOLLY else list(rows_of_set(source / part, part, task))
        readings.append(_gathered(rows, "validation", part, task))
    return joined(task, readings, source)


def _gathered(rows: Iterable[InstructionRow], split: str, prefix: str, task: TaskSpec) -> Reading:
    readings: list[Reading] = []
    gathering: Gathering | None = None
    for count, row in enumerate(rows, 1):
        if gathering is None or gathering.path != row.path:
            readings += [gathering.done()] if gathering else []
            gathering = Gathering(path=row.path, task_name=task.name, media=MediaReader(None))
        values = {
            "example_id": f"{prefix}/{count:06d}",
            "split": split,
            "fields": {"instruction": row.instruction, "input": row.input},
            "label": row.output,
        }
        gathering.add(row.place, checked(f"{row.path}, {row.place}", PromptRow, values))
    return joined(task, [*readings, *([gathering.done()] if gathering else [])], None)


def _dolly(folder: Path, task: TaskSpec) -> tuple[list[InstructionRow], list[InstructionRow]]:
    """Rows to learn from and rows to report, in the file's order."""
    path = folder / "databricks-dolly-15k.jsonl"
    if not path.is_file():
        return list(plain_rows(folder / "train.jsonl", task)), list(plain_rows(folder / "test.jsonl", task))
    rows = list(records_of(path, of_dolly))
    held = set(sorted(range(len(rows)), key=lambda index: _hash(rows[index], index))[:NUM_DOLLY_REPORTED])
    if len(rows) <= NUM_DOLLY_REPORTED:
        raise SourceError(
            f"{path} has {len(rows)} rows, more than {NUM_DOLLY_REPORTED} are wanted, since so many are "
            "reported; give the whole file, or train.jsonl and test.jsonl"
        )
    return (
        [row for index, row in enumerate(rows) if index not in held],
        [row for index, row in enumerate(rows) if index in held],
    )


def _hash(row: InstructionRow, index: int) -> tuple[bytes, int]:
    return hashlib.sha256(f"{_SEED}:{row.instruction}\n{row.input}".encode()).digest(), index
