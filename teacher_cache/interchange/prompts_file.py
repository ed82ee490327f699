"""`prompts.jsonl`, beside every export: what a foreign format has no place for, in our own format.

`cache-teacher --prompts` and `teacher-shards import --prompts` read it: ids, splits, fields, labels, prompts.
"""

import json
from typing import Any

from schemas.example import Label, turns_of
from schemas.rows import Row
from schemas.tasks import LabelKind, find_task

PROMPTS_NAME = "prompts.jsonl"


def prompts_line(row: Row) -> str:
    """One line."""
    example = row.example
    line: dict[str, Any] = {"example_id": example.id, "task": example.task, "split": example.split}
    if example.fields:
        line["fields"] = example.fields
    label = _label(example.label, find_task(example.task).label_kind)
    if label is not None:
        line["label"] = label
    if turns := turns_of(row.prompt):
        line["messages"] = [{"role": turn.role, "content": turn.content} for turn in turns]
    else:
        line["prompt"] = row.prompt
    return json.dumps(line, ensure_ascii=False) + "\n"


def _label(label: Label, kind: LabelKind) -> Any:
    if kind is LabelKind.NONE:
        return None
    if kind is LabelKind.MULTI:
        return list(label.class_ids)
    return next(iter(label.class_ids), label.target_text if label.value is None else label.value)
