"""What the teacher is asked: the task's fields as they are, or a text with their names in braces."""

from collections.abc import Sequence
from string import Formatter

from schemas.errors import ConfigError, SourceError
from schemas.example import Example
from schemas.tasks import TaskSpec

PLAIN = "plain"


def resolve_template(task: TaskSpec, given: str | None, default_name: str = PLAIN) -> str | None:
    """The text of a template.

    Args:
        task: whose templates have names.
        given: a name, or a text with fields in braces; None takes the default.
        default_name: name of a template; a task without one of that name is asked plainly.

    Returns:
        The text; None for `plain`, the task's own way to show its fields.

    Raises:
        ConfigError: it is no name of the task's, and no text that its fields can fill.
    """
    if given is None:
        return task.templates.get(default_name)
    if given == PLAIN:
        return None
    if given in task.templates:
        return task.templates[given]
    return _checked(given, task)


def _checked(template: str, task: TaskSpec) -> str:
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise ConfigError(f"--template {template!r}: {error}; write a field as {{name}}") from None
    if altered := [name for _, name, form, conversion in fields if form or conversion]:
        raise ConfigError(
            f"--template {template!r}: the field {altered[0]} has a format; write it as {{{altered[0]}}}"
        )
    names = {name or "" for _, name, _, _ in fields}
    if inside := [name for name in names if "." in name or "[" in name]:
        raise ConfigError(f"--template {template!r}: {{{inside[0]}}} is a part of a field; name a whole one")
    if task.fields and not names <= set(task.fields):
        raise ConfigError(_without_fields(template, task))
    return template


def check_asks(template: str | None, task: TaskSpec, examples: Sequence[Example]) -> None:
    """Refuse a template that would ask the same of every row; of pictures that may be meant.

    Raises:
        ConfigError: it names no field, and a row has nothing else to be asked about.
    """
    if template is None or any(name is not None for _, name, _, _ in Formatter().parse(template)):
        return
    if not all(example.media or example.prompt is not None for example in examples):
        raise ConfigError(_without_fields(template, task))


def _without_fields(template: str, task: TaskSpec) -> str:
    named = "".join(f", or the name {name}" for name in task.templates)
    wanted = ", ".join(f"{{{name}}}" for name in task.fields)
    return (
        f"--template {template!r}: task {task.name} has the fields {wanted or 'of its rows'}; use them{named}"
    )


def fill(template: str | None, task: TaskSpec, example: Example) -> str:
    """What the teacher is asked about one example; an example's own prompt goes before any template.

    Raises:
        SourceError: the example lacks a field that the template names.
    """
    if template is None or example.prompt is not None:
        return task.prompt(example)
    try:
        return template.format_map(example.fields)
    except (KeyError, IndexError, ValueError):
        wanted = ", ".join(f"{{{name}}}" for name in example.fields) or "no fields"
        raise SourceError(
            f"example {example.id}: --template {template!r} cannot be filled: the row has {wanted}; "
            "name fields that every row has"
        ) from None
