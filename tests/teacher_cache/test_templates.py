"""Templates: by name, by text, by default."""

import pytest

from schemas.errors import ConfigError, SourceError
from schemas.example import Example, Media
from schemas.tasks import TASKS, LabelKind
from teacher_cache.templates import check_asks, fill, resolve_template

MOVIES, FREE = TASKS["movie-sentiment"], TASKS["free"]
INSTRUCTION = MOVIES.templates["instruction"]
ROW = Example(id="a", task="movie-sentiment", split="train", fields={"text": "Fine {x}."})


@pytest.mark.parametrize(
    ("given", "default", "wanted"),
    [
        (None, "plain", None),
        (None, "instruction", INSTRUCTION),
        ("plain", "instruction", None),
        ("instruction", "plain", INSTRUCTION),
        ("Is it good? {text}", "instruction", "Is it good? {text}"),
    ],
)
def test_which_template_is_used(given: str | None, default: str, wanted: str | None) -> None:
    assert resolve_template(MOVIES, given, default) == wanted


def test_a_task_without_instructions_is_asked_plainly() -> None:
    assert resolve_template(FREE, None, "instruction") is None


def test_a_template_is_filled_once() -> None:
    assert fill("{text} {text}", MOVIES, ROW) == "Fine {x}. Fine {x}."
    assert fill(None, MOVIES, ROW) == "Fine {x}."


def test_every_task_with_labels_has_an_instruction_of_its_fields() -> None:
    for task in TASKS.values():
        asks_itself = task.label_kind is LabelKind.NONE or "instruction" in task.fields
        assert ("instruction" in task.templates) is not asks_itself
        for text in task.templates.values():
            filled = text.format_map({name: f"<{name}>" for name in task.fields})
            assert all(f"<{name}>" in filled for name in task.fields)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{review}", r"task movie-sentiment has the fields {text}; use them, or the name instruction"),
        ("{0}", r"task movie-sentiment has the fields {text}"),
        ("{}", r"task movie-sentiment has the fields {text}"),
        ("{text", r"expected '}' before end of string; write a field as {name}"),
        ("{text.__class__}", r"{text.__class__} is a part of a field; name a whole one"),
        ("{text[0]}", r"{text\[0\]} is a part of a field; name a whole one"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_template(MOVIES, template)


@pytest.mark.parametrize("template", ["instructions", "", "What is it?"])
def test_a_text_without_fields_asks_the_same_of_every_row(template: str) -> None:
    with pytest.raises(ConfigError, match=r"has the fields {text}; use them, or the name instruction"):
        check_asks(resolve_template(MOVIES, template), MOVIES, [ROW])


def test_of_pictures_the_same_may_be_asked() -> None:
    picture = Example(id="a", task="free", split="train", fields={}, media=(Media("a.png", ""),))

    check_asks("What is it?", FREE, [picture])
    assert fill("What is it?", FREE, picture) == "What is it?"


@pytest.mark.parametrize("template", ["{review}", "{0}", "{}"])
def test_a_row_that_lacks_a_field_is_named(template: str) -> None:
    with pytest.raises(
        SourceError, match=r"example a: --template .* cannot be filled: the row has {text}; name"
    ):
        fill(template, FREE, ROW)
