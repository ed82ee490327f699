"""The numbers that the paper prints: package data, one CSV a table."""

import csv
from functools import cache
from importlib.resources import files

from distill.studies.study import Key, Printed, Study


@cache
def printed_table(name: str) -> dict[Key, Printed]:
    """All numbers of one table, by key, in the paper's order.

    Args:
        name: `table02`.
    """
    text = (files("distill.studies") / "paper" / f"{name}.csv").read_text(encoding="utf-8")
    return {
        Key(row["model"], row["teacher"], row["variant"], row["task"], row["metric"]): Printed(
            float(row["value"]), float(row["std"]) if row["std"] else None
        )
        for row in csv.DictReader(text.splitlines())
    }


def printed_of(study: Study) -> dict[Key, Printed]:
    """The numbers beside a study's own: all of its table, and what other tables have of its cells."""
    own = {cell.key for cell in study.cells}
    return {
        key: value
        for name in study.prints
        for key, value in printed_table(name).items()
        if name == study.name or key in own
    }


def as_values(printed: dict[Key, Printed]) -> dict[Key, dict[int, float]]:
    """The paper's numbers as if one seed had given them, so that every test can be asked of them too."""
    return {key: {0: one.value} for key, one in printed.items()}
