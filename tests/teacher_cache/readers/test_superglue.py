"""Lines as SuperGLUE's archive has them, with sentences of our own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SourceError
from schemas.example import Label
from schemas.tasks import TASKS
from teacher_cache.readers.superglue import read_superglue

ROWS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "superglue/boolq": (
        "BoolQ",
        [
            {"question": "is ice cold", "passage": "Ice is water.", "idx": 0, "label": True},
            {"question": "is fire cold", "passage": "Fire is hot.", "idx": 1, "label": False},
        ],
    ),
    "superglue/cb": (
        "CB",
        [
            {"premise": "He said so.", "hypothesis": "He spoke.", "label": "entailment", "idx": 0},
            {"premise": "He said so.", "hypothesis": "He is old.", "label": "neutral", "idx": 1},
        ],
    ),
    "superglue/copa": (
        "COPA",
        [
            {
                "premise": "The ice melted.",
                "choice1": "It was warm.",
                "choice2": "It was dark.",
                "question": "cause",
                "label": 0,
                "idx": 0,
            },
            {
                "premise": "He fell.",
                "choice1": "He flew.",
                "choice2": "He cried.",
                "question": "effect",
                "label": 1,
                "idx": 1,
            },
        ],
    ),
    "superglue/wic": (
        "WiC",
        [
            {"word": "bank", "sentence1": "A river bank.", "sentence2": "The bank is shut.", "idx": 0,
             "label": False, "start1": 8, "start2": 4, "end1": 12, "end2": 8, "version": 1.1},
            {"word": "run", "sentence1": "We run.", "sentence2": "They run.", "idx": 1,
             "label": True, "start1": 3, "start2": 5, "end1": 6, "end2": 8, "version": 1.1},
        ],
    ),
}  # fmt: skip
CLASSES = {
    "superglue/boolq": (1, 0),
    "superglue/cb": (0, 2),
    "superglue/copa": (0, 1),
    "superglue/wic": (0, 1),
}


def write(folder: Path, files: Mapping[str, Sequence[Mapping[str, Any]] | str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", list(ROWS))
def test_every_task_is_read_with_its_unlabelled_test(tmp_path: Path, name: str) -> None:
    folder, rows = ROWS[name]
    unlabelled = [{key: value for key, value in rows[0].items() if key != "label"}]
    write(tmp_path / folder, {"train.jsonl": rows, "val.jsonl": rows[:1], "test.jsonl": unlabelled})
    task = TASKS[name]
    examples = read_superglue(tmp_path, task).examples

    one, two = CLASSES[name]
    assert [(example.id, example.label) for example in examples] == [
        ("train-000001", Label(class_ids=(one,))),
        ("train-000002", Label(class_ids=(two,))),
        ("validation-000001", Label(class_ids=(one,))),
        ("test-000001", Label()),
    ]
    assert examples[1].fields == {field: rows[1][field] for field in task.fields}
    assert read_superglue(tmp_path / folder, task).examples == examples


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("superglue/copa", ("The ice melted. What was the cause?", "It was warm. It was dark.")),
        ("superglue/wic", ("bank: A river bank.", "The bank is shut.")),
        ("superglue/boolq", ("is ice cold", "Ice is water.")),
        ("superglue/cb", ("He said so.", "He spoke.")),
    ],
)
def test_the_student_reads_every_field(name: str, read: tuple[str, str]) -> None:
    task, row = TASKS[name], ROWS[name][1][0]

    assert task.student_text({field: row[field] for field in task.fields}) == read
    assert set(task.student_fields) == set(task.fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"premise": "A."}\n', r"val.jsonl, line 1: no 'hypothesis' among 'premise', a text is wanted"),
        ('{"premise": "A.", "hypothesis": 3}\n', r"line 1: its 'hypothesis' is a number, a text is wanted"),
        ('{"premise": "A.", "hypothesis": "B."}\n', r"line 1: no 'label', which a row of validation has"),
        (
            '\n{"premise": "A.", "hypothesis": "B.", "label": "maybe"}\n',
            r"val.jsonl, line 2: label 'maybe' is not one of task superglue/cb: 0 \(entailment\)",
        ),
        ("[1, 2]\n", r"line 1: a number, an object \{...\} is wanted"),
        ('{"premise": "A."\n', r"line 1, character 17: Invalid JSON: Expecting ',' delimiter"),
        ('{"premise": NaN}\n', r"line 1: Invalid JSON: NaN is no number"),
        ('{"a": 1, "a": 2}\n', r"line 1: Invalid JSON: the key 'a' stands twice"),
        ('{"premise": "\\ud800", "hypothesis": ""}\n', r"line 1: Invalid JSON: half of a surrogate pair"),
    ],
)
def test_a_line_that_is_not_as_it_should_be_is_refused(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path, {"val.jsonl": content})
    with pytest.raises(SourceError, match=message) as refusal:
        read_superglue(tmp_path, TASKS["superglue/cb"])
    assert "\n" not in str(refusal.value)


def test_a_question_of_copa_is_for_a_cause_or_an_effect(tmp_path: Path) -> None:
    write(tmp_path, {"val.jsonl": [{**ROWS["superglue/copa"][1][0], "question": "why"}]})
    with pytest.raises(SourceError, match="line 1: 'question' is not 'cause' or 'effect'"):
        read_superglue(tmp_path, TASKS["superglue/copa"])
