"""CSV and TSV: a header, then rows; quoted as spreadsheets, pandas and polars write them.

The columns `example_id`, `task`, `split`, `label`, `prompt`, `media` and `messages` mean what they mean in
JSON lines of ours, an empty cell of theirs is one left out, and every other column is a field. Read by the
standard library, not by polars, because only that knows the line of each row.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.json_text import read_json
from teacher_cache.readers.labels import label_of_text
from teacher_cache.readers.lines import read_lines
from teacher_cache.readers.prompt_row import PromptRow, checked

KNOWN_COLUMNS = ("example_id", "task", "split", "label", "prompt", "media", "messages")
_MAX_CELL_CHARACTERS = 2**31 - 1

TaskOf = Callable[[str, str | None], TaskSpec]


def delimited_rows(path: Path, delimiter: str, task_of: TaskOf) -> Iterator[tuple[str, PromptRow]]:
    """Rows with their places, the line that each begins in.

    Args:
        path: of the file.
        delimiter: between two cells.
        task_of: settles the task of a place, for the form of its label.

    Raises:
        SourceError: the file is missing or not as it should be.
    """
    # The library's own limit, 128 KiB, is less than a long document.
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    for number, cells in _records(path, reader):
        where = f"{path}, line {number}"
        if header is None:
            header = _checked_header(where, cells)
        elif len(cells) != len(header):
            raise SourceError(
                f"{where}: {len(cells)} columns, the header has {len(header)}; mend the row, or quote the "
                "cell that holds a delimiter"
            )
        else:
            place = f"line {number}"
            yield place, _row(path, place, dict(zip(header, cells, strict=True)), task_of)


def _lines(path: Path) -> Iterator[str]:
    for number, text in read_lines(path):
        if "\0" in text:
            raise SourceError(f"{path}, line {number}: a NUL byte, which no text has; mend the file")
        yield text + "\n"


def _records(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    begins = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise SourceError(
                f"{path}, line {begins}: {error}; close each quote, and double those inside a cell"
            ) from None
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1


def _checked_header(where: str, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if blank := [index for index, name in enumerate(names, 1) if not name]:
        raise SourceError(f"{where}: column {blank[0]} has no name; write one into the header")
    if twice := [name for name in names if names.count(name) > 1]:
        raise SourceError(f"{where}: the column {twice[0]} stands twice; give each its own name")
    if len(names) == 1 and (wrong := [mark for mark in ";\t|" if mark in names[0]]):
        raise SourceError(
            f"{where}: columns are separated by {wrong[0]!r}; write .csv with commas, .tsv with tabs"
        )
    return names


def _row(path: Path, place: str, cells: dict[str, str], task_of: TaskOf) -> PromptRow:
    where = f"{path}, {place}"
    given: dict[str, Any] = {name: cells[name] for name in KNOWN_COLUMNS if cells.get(name)}
    given["fields"] = {name: cell for name, cell in cells.items() if name not in KNOWN_COLUMNS}
    if "label" in given:
        given["label"] = label_of_text(given["label"], task_of(place, given.get("task")))
    if "media" in given:
        given["media"] = (
            _json(where, "media", given["media"]) if given["media"][0] == "[" else [given["media"]]
        )
    if "messages" in given:
        given["messages"] = _json(where, "messages", given["messages"])
    return checked(where, PromptRow, given)


def _json(where: str, column: str, text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise SourceError(f"{where}: {column}: {error}; mend the row") from None
