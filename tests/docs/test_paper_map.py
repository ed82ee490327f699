"""docs/paper-map.md has a row for each table and figure, and says of each whether it is made."""

import re
from pathlib import Path

import pytest

from distill.studies import NOT_MADE, STUDIES
from distill.studies.profiles import MINI
from distill.studies.study import Cell

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "paper-map.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Tables and figures\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| ((?:Table|Figure)s? \d+[^|]*) \|(.*)\|(.*)\|$", SECTION, re.MULTILINE)
BY_NUMBER = {
    f"{title.split()[0].rstrip('s').lower()}{int(number):02d}": (where, status)
    for title, where, status in ROWS
    for number in re.findall(r"\d+", title.partition(":")[0])
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_named_beside_its_number(name: str) -> None:
    where, status = BY_NUMBER[name]

    assert f"`distill/studies/{name}.py`" in where
    assert status.strip().startswith("made")


@pytest.mark.parametrize("name", NOT_MADE)
def test_what_is_not_made_says_so(name: str) -> None:
    where, status = BY_NUMBER[name]

    assert "distill/studies" not in where
    assert status.strip().startswith("not made: ")


def test_nothing_else_is_there() -> None:
    assert set(BY_NUMBER) == {*STUDIES, *NOT_MADE, "figure01", "figure02"}


def test_the_tables_that_the_small_profile_has_nothing_for_are_named() -> None:
    def stands(cell: Cell) -> bool:
        teachers = {"", *MINI.teachers}
        return cell.trained in MINI.students and cell.key.task in MINI.tasks and cell.key.teacher in teachers

    empty = [name for name, study in STUDIES.items() if not any(map(stands, study.cells))]

    assert empty == ["table09", "table13"]
    assert "runs for all but Tables 9 and 13" in SECTION
