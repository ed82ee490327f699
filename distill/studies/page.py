"""A sheet as one HTML file that needs no other and fetches nothing: script, style and picture stand in it."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from distill.studies.markdown import COLUMNS, cells_of, signed, title_of
from distill.studies.sheet import Line, Sheet

_SIGNS = {"better": "▲ ", "worse": "▼ ", "noise": "≈ "}


@dataclass(frozen=True, slots=True)
class Cell:
    """Of the page's table.

    Attributes:
        text: that is shown.
        sort: number that it is sorted by; None for words.
        mark: class of it.
    """

    text: str
    sort: float | None = None
    mark: str = ""


def as_page(sheet: Sheet, picture: bytes | None) -> str:
    """The report of a study.

    Args:
        sheet: of it.
        picture: PNG; None without one.
    """
    groups = (("single losses", False), ("best of three losses", True))
    summaries = [(name, [one for one in sheet.summaries if one.is_best == best]) for name, best in groups]
    return _render(
        title=title_of(sheet),
        command=sheet.command,
        profile=sheet.profile,
        remarks=(*sheet.profile.remarks, *sheet.study.remarks, *sheet.notes),
        picture=b64encode(picture).decode() if picture else None,
        baseline=sheet.study.baseline,
        summaries=[(name, rows) for name, rows in summaries if rows],
        findings=sheet.findings,
        columns=COLUMNS,
        lines=[{"run": bool(line.ours), "cells": list(_cells(line))} for line in sheet.lines],
        claims=sheet.study.claims,
        provenance=sheet.provenance,
    )


def as_index(sheets: Sequence[Sheet], not_made: Mapping[str, str], failed: Mapping[str, str]) -> str:
    """The page that leads to all others.

    Args:
        sheets: of the studies; at least one.
        not_made: what no program makes, and why.
        failed: why runs failed, by folder.
    """
    first = sheets[0]
    rows = [
        {
            "file": one.study.file_name,
            "name": title_of(one).partition(":")[0],
            "title": one.study.title,
            "run": one.num_run,
            "all": len(one.lines),
        }
        for one in sheets
    ]
    return _render(
        title="The paper's tables and figures",
        command=first.command,
        profile=first.profile,
        remarks=first.profile.remarks,
        index=rows,
        not_made=not_made,
        failed=failed,
    )


def _cells(line: Line) -> Iterator[Cell]:
    numbers: dict[int, float | None] = {
        5: line.printed.value if line.printed else None,
        6: line.mean,
        7: line.difference,
        8: line.printed_gain,
        9: line.gain.mean if line.gain else None,
    }
    verdict = line.gain.verdict if line.gain else ""
    for place, text in enumerate(cells_of(line)):
        if place == len(COLUMNS) - 1 and text:
            mark = verdict if verdict in ("better", "worse") else ""
            yield Cell(f"{_SIGNS.get(verdict, '')}{text}", numbers[place], mark)
        else:
            yield Cell(text, numbers.get(place))


def _number(value: float | None, missing: str = "") -> Any:
    from markupsafe import Markup

    if value is None:
        return Markup("<td>{}</td>").format(missing)
    return Markup('<td data-sort="{}">{}</td>').format(value, signed(value))


def _render(**values: Any) -> str:
    from markupsafe import Markup

    style, script = _text("page.css"), _text("page.js")
    absent = dict.fromkeys(("index", "picture", "failed"))
    return _template().render(
        number=_number,
        style=Markup(style),  # noqa: S704 - this package's own file
        script=Markup(script),  # noqa: S704 - the same
        style_hash=_hash(style),
        script_hash=_hash(script),
        **{**absent, **values},
    )


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_text("page.html.jinja"))


def _text(name: str) -> str:
    return (files("distill.studies") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Of a script or style, as the page's own policy names what alone may run."""
    return b64encode(sha256(text.encode()).digest()).decode()
