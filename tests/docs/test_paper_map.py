"""docs/paper-map.md has a row for each table and figure, and says of each whether it is made."""

import re
from pathlib import Path

import pytest

from distill.studies import NOT_MADE, STUDIES
from distill.studies.mini_profile import MINI
from distill.studies.study import Cell
from schemas.example import Example
from schemas.tasks import TASKS
from schemas.tasks.task import TaskSpec

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "paper-map.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Tables and figures\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| ((?:Table|Figure)s? \d+[^|]*) \|(.*)\|(.*)\|$", SECTION, re.MULTILINE)
BY_NUMBER = {
    f"{title.split()[0].rstrip('s').lower()}{int(number)}": (where, status)
    for title, where, status in ROWS
    for number in re.findall(r"\d+", title.partition(":")[0])
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_named_beside_its_number(name: str) -> None:
    where, status = BY_NUMBER[STUDIES[name].file_name]

    assert f"`distill/studies/{name}.py`" in where
    assert status.strip().startswith("made")


@pytest.mark.parametrize("name", NOT_MADE)
def test_what_is_not_made_says_so(name: str) -> None:
    where, status = BY_NUMBER[name]

    assert "distill/studies" not in where
    assert status.strip().startswith("not made: ")


def test_nothing_else_is_there() -> None:
    assert set(BY_NUMBER) == {
        *(study.file_name for study in STUDIES.values()),
        *NOT_MADE,
        *("figure1", "figure2"),
    }


def test_the_tables_that_the_small_profile_has_nothing_for_are_named() -> None:
    def stands(cell: Cell) -> bool:
        teachers = {"", *MINI.teachers}
        return cell.trained in MINI.students and cell.key.task in MINI.tasks and cell.key.teacher in teachers

    empty = [name for name, study in STUDIES.items() if not any(map(stands, study.cells))]

    assert empty == ["table09", "table13"]
    assert "runs for all but Tables 9 and 13" in SECTION


@pytest.mark.parametrize("section", ["Equations and architecture", "Tasks", "Teachers"])
def test_what_is_done_names_tests_that_are_there(section: str) -> None:
    header, _, *rows = re.findall(
        r"^\|.*\|$", PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert cells(header) == ["in the paper", "here", "test", "status"]
    for row in rows:
        paper, _, tests, status = cells(row)
        named = re.findall(r"`([^`]+)`", tests)
        assert named or tests == "the same", f"{paper}: {status}, and no test"
        folder = REPOSITORY
        for name in named:
            path = REPOSITORY / name if name.startswith("tests/") else folder / name
            assert path.exists(), f"{paper}: {name} is not there"
            folder = path.parent


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_what_the_teacher_is_given_is_what_the_tasks_give() -> None:
    (answer,) = re.findall(r"^\| what the teacher is given \| (.*) \|$", PAGE, re.MULTILINE)
    given = {name: plainly(task, " ") for name, task in TASKS.items() if len(task.fields) == 2}
    below = {name for name, same in given.items() if not same}

    assert "joined by one space" in answer
    assert "of reasoning and instructions" in answer
    assert below == {name for name in given if name.startswith(("reasoning/", "instructions/"))}
    assert all(plainly(TASKS[name], "\n\n") for name in below)


def plainly(task: TaskSpec, between: str) -> bool:
    """Whether a task asks plainly with that between its two fields."""
    fields = dict(zip(task.fields, ("One.", "Two."), strict=True))
    return task.teacher_prompt(Example(id="a", task=task.name, split="train", fields=fields)) == (
        f"One.{between}Two."
    )
