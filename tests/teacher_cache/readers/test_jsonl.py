"""`--prompts FILE`: what a line may say, and what is said about one that may not."""

import json
from pathlib import Path

import pytest

from schemas.errors import SourceError
from schemas.example import Example, Label, Media
from teacher_cache.readers.jsonl import read_jsonl

GOOD = {"example_id": "a", "task": "movie-sentiment", "fields": {"text": "Fine."}, "label": "positive"}


def write(folder: Path, *lines: object) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_a_whole_line(tmp_path: Path) -> None:
    line = GOOD | {"split": "test", "media": [{"path": "a/b.png", "sha256": "00"}], "prompt": "Is it good?"}
    task, examples = read_jsonl(write(tmp_path, line), None)

    assert task.name == "movie-sentiment"
    assert examples == [
        Example(
            id="a",
            task="movie-sentiment",
            split="test",
            fields={"text": "Fine."},
            label=Label(class_ids=(1,)),
            media=(Media("a/b.png", "00"),),
            prompt="Is it good?",
        )
    ]


def test_a_class_may_be_given_by_its_number(tmp_path: Path) -> None:
    _, (example,) = read_jsonl(write(tmp_path, GOOD | {"label": 0}), None)

    assert example.label.class_ids == (0,)


def test_without_a_task_a_line_is_free(tmp_path: Path) -> None:
    task, (example,) = read_jsonl(write(tmp_path, {"example_id": "a", "prompt": "Say something."}), None)

    assert (task.name, example.split, example.label) == ("free", "train", Label())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"Invalid JSON: EOF while parsing .*; mend the line"),
        ({"task": "movie-sentiment"}, r"example_id: Field required"),
        (GOOD | {"example_id": "b", "colour": 1}, r"colour: Extra inputs are not permitted"),
        (GOOD | {"example_id": "b", "split": "dev"}, r"split: Input should be 'train'"),
        (GOOD | {"example_id": "b", "fields": {"text": 1}}, r"fields.text: Input should be a valid string"),
        (GOOD | {"example_id": "b", "task": "glue/cola"}, r"task glue/cola, this run has movie-sentiment"),
        (GOOD | {"example_id": "b", "label": "sad"}, r"label 'sad' is not one of .*: 0 \(negative\), 1"),
        (GOOD | {"example_id": "b", "label": 2}, r"label 2 is not one of"),
        (GOOD | {"example_id": "b", "label": True}, r"label True is not one of"),
        (GOOD | {"example_id": "b", "fields": {}}, r"neither fields nor prompt"),
        (GOOD, r"example_id a stands in line 1 too"),
        (GOOD | {"example_id": "b", "media": [{"path": "../x", "sha256": ""}]}, r"media path ../x leaves"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(SourceError, match=r"prompts.jsonl, line 2: " + message) as raised:
        read_jsonl(write(tmp_path, GOOD, line), None)
    assert "\n" not in str(raised.value)


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"prompts.jsonl is empty"):
        read_jsonl(write(tmp_path), None)
    with pytest.raises(SourceError, match=r"nothing.jsonl is not there"):
        read_jsonl(tmp_path / "nothing.jsonl", None)
