"""An example: one row of a task, before any teacher has seen it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Media:
    """An image or a sound that is sent to the teacher with the prompt.

    Attributes:
        path: relative to the source folder, never leaving it.
        sha256: of the file's bytes, lower-case hexadecimal.
    """

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The right answer, in the one form that the task's label kind uses.

    Attributes:
        class_ids: one class; several for a multi-label task; empty where unlabelled.
        value: regression target, in the task's own scale.
        target_text: reference answer of a generative task.
    """

    class_ids: tuple[int, ...] = ()
    value: float | None = None
    target_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of a task.

    Attributes:
        id: unique in its source.
        task: name of the TaskSpec that it belongs to.
        split: `train`, `validation` or `test`.
        fields: the task's named texts, in the task's order.
        label: the right answer, or an empty Label.
        media: files sent with the prompt.
        prompt: overrides the task's prompt template; None uses the template.
    """

    id: str
    task: str
    split: str
    fields: dict[str, str]
    label: Label = field(default_factory=Label)
    media: tuple[Media, ...] = ()
    prompt: str | None = None
