"""TaskSpec: all that the pipeline knows of a task, as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from string import Formatter

from schemas.errors import SourceError
from schemas.example import Example


class LabelKind(StrEnum):
    """What a label of the task looks like."""

    SINGLE = "single"
    MULTI = "multi"
    REGRESSION = "regression"
    GENERATIVE = "generative"
    NONE = "none"


def all_fields(example: Example) -> str:
    """Give the teacher every field, joined by one space (docs/paper-map.md, method section 12)."""
    return " ".join(example.fields.values())


def template_fields(templates: Sequence[str]) -> tuple[str, ...]:
    """Names of the fields that stand in some templates, each once, in their order."""
    pieces = [piece for template in templates for piece in Formatter().parse(template)]
    return tuple(dict.fromkeys(name for _, name, _, _ in pieces if name))


def whole_text(text: str) -> str | None:
    """Take a text as it is, without the space around it."""
    return text.strip() or None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task as one row of a table.

    Attributes:
        name: as on the command line and in the shards, `movie-sentiment`, `glue/cola`.
        fields: names of the texts that each example has; empty where any will do.
        label_kind: what a label looks like.
        classes: names of the classes, in the order of their ids; empty for other label kinds.
        value_range: lowest and highest target of a regression task, in its own scale.
        metric: name of the metric that selects checkpoints and heads the report.
        student_templates: what the student reads, fields in braces: one text, or two encoded as a pair.
        parts: names of what its reported rows fall into, each measured apart as well; a row of the part
            `matched` has an id that begins with `matched/`.
        source: name of the reader for its original files (teacher_cache/readers).
        teacher_prompt: what the teacher is asked; never shows the label.
        templates: other ways to ask, by name: texts with the names of fields in braces. `instruction` is for
            teachers that read and write; without any, a task is asked plainly.
        extract_answer: what a generated text says, in the form of `target_text`; None where it says nothing.
    """

    name: str
    fields: tuple[str, ...]
    label_kind: LabelKind
    metric: str
    classes: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    student_templates: tuple[str, ...] = ("{text}",)
    parts: tuple[str, ...] = ()
    source: str | None = None
    teacher_prompt: Callable[[Example], str] = all_fields
    templates: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    extract_answer: Callable[[str], str | None] = whole_text

    def prompt(self, example: Example) -> str:
        """What the teacher is given: the example's own prompt, or the task's template."""
        return self.teacher_prompt(example) if example.prompt is None else example.prompt

    def student_text(self, fields: Mapping[str, str]) -> tuple[str, ...]:
        """What the student reads: one text, or the two texts of a pair."""
        return tuple(template.format_map(fields) for template in self.student_templates)

    def part_of(self, identifier: str) -> str | None:
        """Which of the task's parts an example belongs to; None for none."""
        part, slash, _ = identifier.partition("/")
        return part if slash and part in self.parts else None

    def is_right(self, said: str, reference: str) -> bool:
        """Whether a generated text says what the reference answer says."""
        answer = self.extract_answer(said)
        return answer is not None and answer == self.extract_answer(reference)

    @property
    def student_fields(self) -> tuple[str, ...]:
        """Names of the fields that the student reads, each once, in their order."""
        return template_fields(self.student_templates)

    @property
    def num_outputs(self) -> int:
        """Width of an output head: classes, or 1 for regression."""
        return len(self.classes) or 1

    def check(self, example: Example) -> None:
        """Refuse an example that does not fit the task.

        Raises:
            SourceError: a field is missing or unknown, or the label is not one of the task.
        """
        if self.fields and tuple(example.fields) != self.fields:
            raise SourceError(
                f"example {example.id}: fields {list(example.fields)}, task {self.name} wants "
                f"{list(self.fields)}; rename or add the fields in the source"
            )
        if wrong := [i for i in example.label.class_ids if not 0 <= i < len(self.classes)]:
            raise SourceError(
                f"example {example.id}: label {wrong[0]} is not a class of task {self.name}, which has "
                f"{len(self.classes)} ({', '.join(self.classes) or 'none'}); correct the label"
            )
        if self.label_kind is LabelKind.SINGLE and len(example.label.class_ids) > 1:
            raise SourceError(
                f"example {example.id}: {len(example.label.class_ids)} classes, task {self.name} wants one; "
                "keep one, or use a multi-label task"
            )
