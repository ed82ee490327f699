"""The files of a report."""

from collections.abc import Sequence
from pathlib import Path

from distill.studies.markdown import as_csv, as_markdown
from distill.studies.running import Outcome
from distill.studies.sheet import Sheet
from schemas.files import write_text


def write_sheet(sheet: Sheet, out: Path) -> None:
    """Write the report of a study in every format.

    Args:
        sheet: of it.
        out: folder, made if missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    name = sheet.study.file_name
    write_text(out / f"{name}.csv", as_csv(sheet))
    write_text(out / f"{name}.md", as_markdown(sheet, None))


def write_index(sheets: Sequence[Sheet], outcome: Outcome, out: Path) -> None:
    """Write the page that leads to all others."""
