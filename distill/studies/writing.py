"""The files of a report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.studies.markdown import as_csv, as_markdown, index_as_markdown
from distill.studies.page import as_index, as_page
from distill.studies.plots import draw
from distill.studies.sheet import Sheet
from schemas.files import write_bytes, write_text


def write_sheet(sheet: Sheet, out: Path) -> None:
    """Write the report of a study in every format.

    Args:
        sheet: of it.
        out: folder, made if missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    name, picture = sheet.study.file_name, draw(sheet)
    write_text(out / f"{name}.csv", as_csv(sheet))
    write_text(out / f"{name}.md", as_markdown(sheet, f"{name}.png" if picture else None))
    write_text(out / f"{name}.html", as_page(sheet, picture))
    if picture:
        write_bytes(out / f"{name}.png", picture)
    else:
        (out / f"{name}.png").unlink(missing_ok=True)


def write_index(
    sheets: Sequence[Sheet], not_made: Mapping[str, str], failed: Mapping[str, str], out: Path
) -> None:
    """Write the pages that lead to all others.

    Args:
        sheets: of the studies.
        not_made: what no program makes, and why.
        failed: why runs failed, by name.
        out: folder.
    """
    write_text(out / "index.html", as_index(sheets, not_made, failed))
    write_text(out / "index.md", index_as_markdown(sheets, not_made, failed))


def write_settings(settings: Mapping[str, Any], out: Path) -> None:
    """Write what a call was made with, as a file that `--config` reads.

    Args:
        settings: by the name of the option.
        out: folder of the report.
    """
    lines = ["# the last call of paper-tables that wrote here; each report names its own"]
    lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()]
    write_text(out / "config.toml", "\n".join([*lines, ""]))
