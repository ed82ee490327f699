"""Texts without a task: whatever fields a row has, no label, nothing to score."""

from schemas.tasks.task import LabelKind, TaskSpec

FREE = TaskSpec(name="free", fields=(), label_kind=LabelKind.NONE, metric="none", student_templates=())
