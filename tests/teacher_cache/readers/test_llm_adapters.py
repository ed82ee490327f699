"""Arrays as LLM-Adapters has them, with questions of our own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SourceError
from schemas.tasks import TASKS
from schemas.tasks.reasoning import COMMONSENSE_SETS, MATH_SETS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.readers.llm_adapters import read_llm_adapters

FOLDERS = ("hellaswag", "winogrande", "ARC-Challenge", "ARC-Easy", "openbookqa")
MATH_FOLDERS = ("MultiArith", "SingleEq", "AQuA")


def choice(number: int, kind: str = "answer") -> dict[str, Any]:
    options = " ".join(f"{kind.capitalize()}{index}: thing {index}" for index in (1, 2))
    return {
        "instruction": f"Which one?\n\n{options}\n\nAnswer format: {kind}1/{kind}2",
        "input": "",
        "output": f"the correct answer is {kind}{number}",
        "answer": f"{kind}{number}",
    }


def sum_of(left: int, right: int, answer: Any, said: str | None = None) -> dict[str, Any]:
    said = said or f"{left} and {right} make {left + right}. The answer is {left + right}."
    return {"instruction": f"What is {left} + {right}?", "input": "", "answer": answer, "output": said}


def write(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=4), encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository's folder, with one of the two commonsense sets."""
    write(tmp_path / "ft-training_set/commonsense_15k.json", [choice(1), choice(2, "ending")])
    write(tmp_path / "ft-training_set/math_10k.json", [sum_of(1, 2, "3"), sum_of(2, 2, "4.0")])
    for number, folder in enumerate(FOLDERS):
        write(tmp_path / "dataset" / folder / "test.json", [choice(1 + number % 2)])
    write(tmp_path / "dataset/MultiArith/test.json", [sum_of(3, 4, [7.0]), sum_of(5, 4, ["9"])])
    write(tmp_path / "dataset/SingleEq/test.json", [sum_of(1, 1, 2, "It is 3. The answer is 3.")])
    write(tmp_path / "dataset/AQuA/test.json", [sum_of(1, 3, ["C"], "1 + 3 = 4. The answer is (B).")])
    return tmp_path


def test_a_mixture_is_learnt_once_and_reported_on_each_set(clone: Path) -> None:
    task = TASKS["reasoning/commonsense"]
    reading = read_llm_adapters(clone, task)

    assert [(one.id, one.split, one.label.target_text) for one in reading.examples[:3]] == [
        ("commonsense_15k/000001", "train", "the correct answer is answer1"),
        ("commonsense_15k/000002", "train", "the correct answer is ending2"),
        ("hellaswag/000001", "validation", "answer1"),
    ]
    assert [task.part_of(one.id) for one in reading.examples] == [None, None, *COMMONSENSE_SETS]
    assert reading.notices == ("commonsense_15k.json is learnt from",)
    assert task.parts == COMMONSENSE_SETS


def test_the_answer_of_a_test_set_counts_and_not_what_a_model_wrote(clone: Path) -> None:
    task = TASKS["reasoning/math"]
    reported = [one for one in read_llm_adapters(clone, task).examples if one.split == "validation"]

    assert [(one.id, one.label.target_text) for one in reported] == [
        ("multiarith/000001", "7.0"),
        ("multiarith/000002", "9"),
        ("singleeq/000001", "2"),
        ("aqua/000001", "C"),
    ]
    assert task.is_right("3 and 4 make 7. The answer is 7.", "7.0")
    assert task.is_right("So it is 4. The answer is (C).", "C")
    assert not task.is_right("The answer is (B).", "C")
    assert {one.partition("/")[0] for one in (row.id for row in reported)} == set(MATH_SETS)


@pytest.mark.parametrize("name", [*COMMONSENSE_SETS, *MATH_SETS])
def test_a_set_alone_learns_the_same_and_reports_itself(clone: Path, name: str) -> None:
    mixture = "reasoning/math" if name in MATH_SETS else "reasoning/commonsense"
    alone = read_llm_adapters(clone, TASKS[f"reasoning/{name}"]).examples
    both = read_llm_adapters(clone, TASKS[mixture]).examples

    def key(one: Any) -> tuple[Any, ...]:
        return one.id, one.split, one.fields, one.label

    wanted = [one for one in both if one.split == "train" or one.id.startswith(f"{name}/")]
    assert [key(one) for one in alone] == [key(one) for one in wanted]


def test_two_sets_to_learn_from_want_a_choice(clone: Path) -> None:
    task = TASKS["reasoning/commonsense"]
    large = clone / "ft-training_set/commonsense_170k.json"
    write(large, [choice(2)] * 3)
    with pytest.raises(
        SourceError, match=r"has commonsense_170k.json and commonsense_15k.json, .* --source .*170k"
    ):
        read_llm_adapters(clone, task)

    plan = make_plan(CacheConfig(model="none", task=task.name, source=large))
    assert (plan.source, plan.splits) == ("commonsense_170k.json", {"train": 3, "validation": 5})
    assert plan.examples[0].id == "commonsense_170k/000001"
    assert plan.examples[0].prompt == choice(2)["instruction"]


def test_an_input_stands_below_its_instruction(tmp_path: Path) -> None:
    write(
        tmp_path / "math_10k.json",
        [{"instruction": "Add.", "input": "1 and 2", "output": "3", "answer": "3"}],
    )
    write(tmp_path / "AQuA/test.json", [{"instruction": "Which?", "answer": "A"}])
    plan = make_plan(CacheConfig(model="none", task="reasoning/aqua", source=tmp_path))

    assert [one.prompt for one in plan.examples] == ["Add.\n\n1 and 2", "Which?"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[\n{"instruction": "a",\n "answer": "A"},\n{"answer": "B"}\n]',
            r"test.json, line 4: no 'instruction'",
        ),
        (
            '[{"instruction": "a", "answer": "none"}]',
            r"line 1: its 'answer' is 'none', one that reasoning/aqua",
        ),
        ('[{"instruction": "a", "answer": ["A", "B"]}]', r"line 1: its 'answer' is \['A', 'B'\], one that"),
        ('[{"instruction": "a", "answer": true}]', r"line 1: its 'answer' is True, one that"),
        (
            '[{"instruction": "a", "answer": "A"}\n{}]',
            r"line 2: the array does not go on with a comma or end",
        ),
        ('[{"instruction": "a", "answer": "A"}] x', r"line 1: the array does not go on with a comma or end"),
        ('[\n\n{"instruction": }]', r"test.json, line 3: Invalid JSON: Expecting value"),
        ('[{"instruction": "a", "answer": "A"},]', r"line 1: Invalid JSON"),
        ("[]", r"test.json is an empty array, at least one example is wanted"),
        ("[3]", r"line 1: a number, an object \{...\} is wanted"),
        ("", r"test.json is empty, at least one example is wanted"),
    ],
)
def test_an_array_that_is_not_as_it_should_be_is_refused(clone: Path, text: str, message: str) -> None:
    (clone / "dataset/AQuA/test.json").write_text(text)
    with pytest.raises(SourceError, match=message) as refusal:
        read_llm_adapters(clone, TASKS["reasoning/aqua"])
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_missing_is_named(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (clone / "dataset/AQuA/test.json").unlink()
    with pytest.raises(
        SourceError, match=r"has none of dataset/AQuA/test.json, the files of reasoning/math;"
    ):
        read_llm_adapters(clone, TASKS["reasoning/math"])
    with pytest.raises(SourceError, match=r"has none of ft-training_set/math_10k.json, the files of"):
        read_llm_adapters(tmp_path_factory.mktemp("empty"), TASKS["reasoning/math"])
