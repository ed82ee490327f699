"""Lines in our own terms: what one may say, and what is said about one that may not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import SourceError
from schemas.example import Example, Label, Media, Message
from teacher_cache.readers.prompts import read_prompts
from teacher_cache.readers.reading import Reading

Read = Callable[..., Reading]
NAME = "prompts.jsonl"
GOOD = {"example_id": "a", "task": "movie-sentiment", "fields": {"text": "Fine."}, "label": "positive"}


def test_a_whole_line(read: Read) -> None:
    media = [{"path": "a/b.png", "sha256": "00"}, "c.png"]
    reading = read(NAME, GOOD | {"split": "test", "media": media, "prompt": "Is it good?"})

    assert reading.task.name == "movie-sentiment"
    assert reading.examples == [
        Example(
            id="a",
            task="movie-sentiment",
            split="test",
            fields={"text": "Fine."},
            label=Label(class_ids=(1,)),
            media=(Media("a/b.png", "00"), Media("c.png", "")),
            prompt="Is it good?",
        )
    ]


def test_a_class_may_be_given_by_its_number(read: Read) -> None:
    (example,) = read(NAME, GOOD | {"label": 0}).examples

    assert example.label.class_ids == (0,)


def test_without_a_task_a_line_is_free(read: Read) -> None:
    reading = read(NAME, {"example_id": "a", "prompt": "Say something."})

    (example,) = reading.examples
    assert (reading.task.name, example.split, example.label) == ("free", "train", Label())


def test_a_line_may_be_a_conversation(read: Read) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    (example,) = read(
        NAME, {"example_id": "a", "fields": {"x": "y"}}, {"example_id": "b", "messages": turns}
    ).examples[1:]

    assert example.messages == (Message("system", "Be brief."), Message("user", "2 + 2?"))


def test_blank_lines_a_mark_and_windows_line_ends_are_no_rows(read: Read) -> None:
    lines = [
        b'\xef\xbb\xbf{"example_id": "a", "prompt": "1"}\r\n',
        "\r\n",
        "  \n",
        '{"example_id": "b", "prompt": "2"}',
    ]

    assert [example.prompt for example in read(NAME, *lines).examples] == ["1", "2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"Invalid JSON: Expecting .* at character 2; mend the line$"),
        (
            '{"example_id": "b\x00"}',
            r"Invalid JSON: Invalid control character at character 18; mend the line",
        ),
        (
            '{"example_id": "b", "prompt": "\\ud800"}',
            r"Invalid JSON: half of a surrogate pair .*; mend the line",
        ),
        ('{"example_id": "b", "label": NaN}', r"Invalid JSON: NaN is no number; mend the line"),
        ("[" * 9999, r"Invalid JSON: lists or objects too deep inside each other; mend the line"),
        (
            '{"example_id": "b", "prompt": "1", "prompt": "2"}',
            r"Invalid JSON: the key 'prompt' stands twice in one object; mend the line",
        ),
        (
            '{"example_id": "b", "fields": {"x": "1", "x": "2"}}',
            r"Invalid JSON: the key 'x' stands twice in one object; mend the line",
        ),
        *[
            (GOOD | {"example_id": f"b{mark}"}, r"the example_id 'b.*' has a control character; take it out")
            for mark in "\0\n\r\t\x1b\x7f\x85\u2028"
        ],
        (GOOD | {"example_id": "b", "prompt": "a\0"}, r"a NUL character, which no text has; take it out"),
        (GOOD | {"example_id": "b", "fields": {"text": "a\0"}}, r"a NUL character, which no text has"),
        ("[]", r"Input should be an object; mend the line"),
        ({"task": "movie-sentiment"}, r"example_id: Field required"),
        (GOOD | {"example_id": " "}, r"the example_id is blank; give each row its own"),
        (GOOD | {"example_id": 7}, r"example_id: Input should be a valid string"),
        (GOOD | {"example_id": "b", "colour": 1}, r"colour: Extra inputs are not permitted"),
        (GOOD | {"example_id": "b", "split": "dev"}, r"split: Input should be 'train'"),
        (GOOD | {"example_id": "b", "fields": {"text": 1}}, r"fields.text: Input should be a valid string"),
        (GOOD | {"example_id": "b", "task": "glue/cola"}, r"task glue/cola, this run has movie-sentiment"),
        (GOOD | {"example_id": "b", "label": "sad"}, r"label 'sad' is not one of .*: 0 \(negative\), 1"),
        (GOOD | {"example_id": "b", "label": 2}, r"label 2 is not one of"),
        (GOOD | {"example_id": "b", "label": True}, r"label True is not one of"),
        (GOOD | {"example_id": "b", "fields": {}}, r"neither fields nor prompt"),
        (GOOD, r"example_id a stands in line 1 too"),
        (GOOD | {"example_id": "b", "media": [""]}, r"a blank media path"),
        (GOOD | {"example_id": "b", "media": ["https://me:secret@x/y.png"]}, r"a media URL with a password"),
        (GOOD | {"example_id": "b", "media": [1]}, r"media.0: a path is wanted, or "),
        (
            GOOD | {"example_id": "b", "prompt": "?", "messages": [{"role": "user", "content": "?"}]},
            r"prompt and messages both say what to ask",
        ),
    ],
)
def test_a_wrong_line_is_named(read: Read, line: object, message: str) -> None:
    with pytest.raises(SourceError, match=r"prompts.jsonl, line 2: " + message) as raised:
        read(NAME, GOOD, line)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_empty_file_and_a_missing_one(read: Read, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"prompts.jsonl is empty"):
        read(NAME)
    with pytest.raises(SourceError, match=r"prompts.jsonl is empty"):
        read(NAME, "\n\n")
    with pytest.raises(SourceError, match=r"nothing.jsonl is not there"):
        read_prompts(tmp_path / "nothing.jsonl", None, {})


def test_an_escaped_pair_is_one_character(read: Read) -> None:
    line = '{"example_id": "a", "prompt": "\\ud83d\\ude00 \\\\u0000"}'

    assert read(NAME, line).examples[0].prompt == "\U0001f600 \\u0000"


def test_a_task_that_is_none_is_refused(read: Read) -> None:
    with pytest.raises(SourceError, match=r"line 1: no task glue; choose from glue/cola, glue/mnli, "):
        read(NAME, GOOD, task="glue")


def test_a_file_outside_the_folder_is_no_reason_to_refuse_the_others(read: Read) -> None:
    (example,) = read(NAME, GOOD | {"media": ["../x.png", "/etc/hostname"]}).examples

    assert [item.path for item in example.media] == ["../x.png", "/etc/hostname"]
