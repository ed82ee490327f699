"""What holds for every row of the table of tasks."""

import pickle
from string import Formatter

import pytest

from schemas.errors import ConfigError
from schemas.example import Example
from schemas.tasks import TASKS, LabelKind, TaskSpec, find_task

EVERY = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
METRICS = {
    "accuracy": LabelKind.SINGLE,
    "matthews": LabelKind.SINGLE,
    "pearson": LabelKind.REGRESSION,
    "micro_f1": LabelKind.MULTI,
    "exact_answer": LabelKind.GENERATIVE,
    "rouge_l": LabelKind.GENERATIVE,
    "none": LabelKind.NONE,
}


@EVERY
def test_a_task_travels_to_another_process_and_is_a_key(task: TaskSpec) -> None:
    assert pickle.loads(pickle.dumps(task)) == task
    assert {task: 1}[find_task(task.name)] == 1


@EVERY
def test_its_templates_show_its_fields_and_nothing_else(task: TaskSpec) -> None:
    for template in (*task.templates.values(), *task.student_templates):
        names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
        assert names <= set(task.fields)
        assert names
    assert len(task.student_templates) <= 2
    assert set(task.student_fields) <= set(task.fields)


@EVERY
def test_its_kind_of_label_has_what_it_needs(task: TaskSpec) -> None:
    assert METRICS[task.metric] is task.label_kind
    assert bool(task.classes) is (task.label_kind in (LabelKind.SINGLE, LabelKind.MULTI))
    assert len(set(task.classes)) == len(task.classes)
    assert (task.value_range is not None) is (task.label_kind is LabelKind.REGRESSION)


@EVERY
def test_the_teacher_is_given_every_field(task: TaskSpec) -> None:
    fields = {name: f"<{name}>" for name in task.fields}
    example = Example(id="a", task=task.name, split="train", fields=fields)

    assert all(text in task.prompt(example) for text in fields.values())


def test_a_part_is_the_beginning_of_an_id() -> None:
    task = TASKS["glue/mnli"]

    assert task.part_of("matched/validation-000001") == "matched"
    assert [task.part_of(one) for one in ("train-000001", "matched", "other/1", "")] == [None] * 4
    assert TASKS["glue/rte"].part_of("matched/1") is None


def test_a_text_with_braces_stays_as_it_is() -> None:
    texts = TASKS["superglue/wic"].student_text({"word": "{word}", "sentence1": "{}", "sentence2": "{0}"})

    assert texts == ("{word}: {}", "{0}")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("copa", "superglue/copa"),
        ("glue/stsb2", "glue/rte, glue/sst2, glue/stsb"),
        ("hellaswag", "reasoning/hellaswag"),
        ("xyz", "chain-sum, free, glue/cola, glue/mnli"),
    ],
)
def test_a_name_that_is_none_is_answered_with_those_it_may_mean(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"--task {name}: no such task; choose from {near}"):
        find_task(name)
