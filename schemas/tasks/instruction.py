"""What tasks of instructions have in common: an instruction, perhaps an input, and an answer to write."""

from collections.abc import Callable

from schemas.example import Example
from schemas.tasks.task import LabelKind, TaskSpec


def instruction_and_input(example: Example) -> str:
    """Give the teacher the instruction, and below it the input where there is one."""
    return "\n\n".join(text for text in example.fields.values() if text.strip())


def instruction_task(
    name: str,
    *,
    source: str,
    metric: str,
    extract_answer: Callable[[str], str | None],
    parts: tuple[str, ...] = (),
) -> TaskSpec:
    """A row of the table.

    Args:
        name: of the task.
        source: of its reader.
        metric: that heads the report.
        extract_answer: what a generated text says.
        parts: sets that it is reported on, each apart as well.
    """
    return TaskSpec(
        name=name,
        fields=("instruction", "input"),
        label_kind=LabelKind.GENERATIVE,
        metric=metric,
        student_templates=("{instruction} {input}",),
        parts=parts,
        source=source,
        teacher_prompt=instruction_and_input,
        extract_answer=extract_answer,
    )
