"""The five sets of instructions in their publishers' forms, with texts of our own."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SourceError
from schemas.tasks import TASKS
from schemas.tasks.instructions import INSTRUCTION_SETS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.readers.instructions import NUM_DOLLY_REPORTED, read_instructions

LONG = "one two three four five six seven eight nine ten eleven"
SHORT = "one two three four five six seven eight nine ten"
ALL = TASKS["instructions/all"]


def lines(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def unnatural(instruction: str, output: str) -> dict[str, Any]:
    instance = {
        "instruction_with_input": f"{instruction} x",
        "input": "x",
        "constraints": "",
        "output": output,
    }
    return {"instruction": instruction, "instances": [instance]}


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    dolly = [
        {"instruction": f"Do {i}.", "context": f"About {i}." if i % 2 else "", "response": f"Done {i}.",
         "category": "open_qa"}
        for i in range(NUM_DOLLY_REPORTED + 20)
    ]  # fmt: skip
    lines(tmp_path / "dolly/databricks-dolly-15k.jsonl", dolly)
    selfinst = {
        "id": "user_oriented_task_0",
        "motivation_app": "Mail",
        "instruction": "Answer the mail.",
        "instances": [{"input": "Dear you", "output": "Dear me"}],
    }
    lines(tmp_path / "selfinst/user_oriented_instructions.jsonl", [selfinst])
    questions = [{"question_id": 1, "text": "Why?", "category": "generic"}]
    answers = [{"question_id": 1, "text": "Because.", "answer_id": "a", "model_id": "m", "metadata": {}}]
    lines(tmp_path / "vicuna/question.jsonl", questions)
    lines(tmp_path / "vicuna/answer_model.jsonl", answers)
    task = {
        "Definition": ["Say it longer."],
        "Positive Examples": [],
        "Instances": [
            {"id": "a", "input": "in 1", "output": [LONG, "other"]},
            {"id": "b", "input": "in 2", "output": [SHORT]},
            *({"id": f"c{i}", "input": f"more {i}", "output": [LONG]} for i in range(120)),
        ],
    }
    lines(tmp_path / "sni/tasks/task001_made.json", [])
    (tmp_path / "sni/tasks/task001_made.json").write_text(json.dumps(task, indent=2))
    (tmp_path / "sni/splits/default").mkdir(parents=True)
    (tmp_path / "sni/splits/default/test_tasks.txt").write_text("task001_made\n")
    uni = [unnatural("Short.", SHORT), *(unnatural(f"Long {i}.", LONG) for i in range(2005))]
    lines(tmp_path / "uni/core_data.jsonl", uni)
    return tmp_path


def test_dolly_is_learnt_and_all_five_are_reported(sets: Path) -> None:
    examples = read_instructions(sets, ALL).examples

    counts = Counter((one.split, ALL.part_of(one.id)) for one in examples)
    assert counts == {
        ("train", None): 20,
        ("validation", "dolly"): NUM_DOLLY_REPORTED,
        ("validation", "selfinst"): 1,
        ("validation", "vicuna"): 1,
        ("validation", "sni"): 99,
        ("validation", "uni"): 2000,
    }
    assert ALL.parts == INSTRUCTION_SETS
    first = {ALL.part_of(one.id): one for one in reversed(examples)}
    said = {part: (*one.fields.values(), one.label.target_text) for part, one in first.items()}
    assert said["selfinst"] == ("Answer the mail.", "Dear you", "Dear me")
    assert said["vicuna"] == ("Why?", "", "Because.")
    assert said["sni"] == ("Say it longer.", "in 1", LONG)
    assert said["uni"] == ("Long 0.", "x", LONG)


def test_which_of_dolly_are_reported_hangs_on_each_row_alone(sets: Path) -> None:
    path = sets / "dolly/databricks-dolly-15k.jsonl"

    def reported() -> set[str]:
        examples = read_instructions(sets, TASKS["instructions/dolly"]).examples
        return {one.fields["instruction"] for one in examples if one.split == "validation"}

    before = reported()
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert reported() == before
    assert len(before) == NUM_DOLLY_REPORTED


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_a_set_alone_reports_itself(sets: Path, name: str) -> None:
    examples = read_instructions(sets, TASKS[f"instructions/{name}"]).examples

    assert {one.id.partition("/")[0] for one in examples if one.split == "validation"} == {name}
    assert sum(one.split == "train" for one in examples) == 20


def test_what_is_asked_is_the_instruction_with_its_input_below(sets: Path) -> None:
    plan = make_plan(CacheConfig(model="none", task="instructions/selfinst", source=sets))

    assert plan.examples[-1].prompt == "Answer the mail.\n\nDear you"
    assert all(one.prompt == one.fields["instruction"] for one in plan.examples if not one.fields["input"])


def test_vicuna_in_turns_as_later_releases_have_it(sets: Path) -> None:
    lines(
        sets / "vicuna/question.jsonl", [{"question_id": 1, "category": "generic", "turns": ["Why?", "And?"]}]
    )
    answer = {"question_id": 1, "model_id": "m", "choices": [{"index": 0, "turns": ["Because.", "So."]}]}
    lines(sets / "vicuna/answer_model.jsonl", [answer])
    examples = read_instructions(sets, TASKS["instructions/vicuna"]).examples

    assert (examples[-1].fields["instruction"], examples[-1].label.target_text) == ("Why?", "Because.")
    lines(sets / "vicuna/answer_model.jsonl", [{"question_id": 1, "choices": []}])
    with pytest.raises(SourceError, match=r"answer_model.jsonl, line 1: no 'text' among no keys"):
        read_instructions(sets, TASKS["instructions/vicuna"])


def test_sets_that_were_made_plain_before_are_read_too(tmp_path: Path) -> None:
    row = {"instruction": "Do.", "input": "", "output": "Done.", "prompt": "whatever"}
    lines(tmp_path / "dolly/train.jsonl", [row] * 3)
    for name in INSTRUCTION_SETS:
        lines(tmp_path / name / "test.jsonl", [row, {"instruction": "Do it.", "output": "Did."}])
    examples = read_instructions(tmp_path, ALL).examples

    assert Counter(one.split for one in examples) == {"train": 3, "validation": 10}
    assert examples[-1].fields == {"instruction": "Do it.", "input": ""}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "dolly/databricks-dolly-15k.jsonl",
            '{"instruction": "a"}',
            r"15k.jsonl, line 1: no 'context' among",
        ),
        (
            "dolly/databricks-dolly-15k.jsonl",
            '{"instruction": "a", "context": "", "response": "b"}',
            r"has 1 rows, more than 500 are wanted",
        ),
        (
            "selfinst/user_oriented_instructions.jsonl",
            '{"instruction": "a"}',
            r"line 1: 'instances' is no list",
        ),
        (
            "vicuna/question.jsonl",
            '{"question_id": 2, "text": "?"}',
            r"no answer to question 2 in answer_model",
        ),
        ("vicuna/answer_other.jsonl", "{}", r"vicuna: answer_model.jsonl, answer_other.jsonl, one answer_"),
        ("sni/splits/default/test_tasks.txt", "../x\n", r"'../x' is no name of a task"),
        ("sni/splits/default/test_tasks.txt", "task9\n", r"tasks/task9.json is not there"),
        ("sni/tasks/task001_made.json", '{"Definition": [], "Instances": []}', r"its 'Definition' is a list"),
        (
            "uni/core_data.jsonl",
            '{"instruction": "a", "instances": [{}]}',
            r"line 1: no 'input' among no keys",
        ),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(
    sets: Path, name: str, text: str, message: str
) -> None:
    (sets / name).write_text(text)
    with pytest.raises(SourceError, match=message) as refusal:
        read_instructions(sets, ALL)
    assert "\n" not in str(refusal.value)


def test_a_set_that_is_missing_is_named(sets: Path) -> None:
    (sets / "uni/core_data.jsonl").unlink()
    with pytest.raises(SourceError, match=r"uni has none of core_data.jsonl or test.jsonl, the files of"):
        read_instructions(sets, ALL)
