"""The first rows of a cache as one page that any browser shows: prompt, picture, text, label, error.

The page needs no other file and fetches nothing. What stands in a cache can be anything, so all of it is
escaped, and the page's own policy lets no script run.
"""

from base64 import b64encode
from collections.abc import Callable
from html import escape
from pathlib import Path

from schemas.errors import ConfigError
from schemas.files import write_text
from schemas.manifest import CacheManifest
from schemas.manifest_file import read_manifest
from schemas.rows import Row
from schemas.tasks import find_task
from teacher_cache.inspection import first_rows
from teacher_cache.kept_pictures import MEDIA_NAME, picture_name

_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border-bottom: 1px solid #ddd; padding: .6rem; text-align: left; vertical-align: top }}
td {{ white-space: pre-wrap; overflow-wrap: anywhere }}
img {{ max-width: 16rem; height: auto; display: block }}
.error {{ color: #a00 }} .id {{ color: #777; font-size: .85em }}
</style></head><body>
<h1>{title}</h1><p>{summary}</p>
"""


def write_page(folder: Path, file: Path, num_rows: int) -> int:
    """Write the page of a cache, whole or not at all.

    Args:
        folder: of the cache.
        file: to write.
        num_rows: most rows to show.

    Returns:
        Rows that it shows.

    Raises:
        CacheError: the manifest or a shard is refused.
        ConfigError: the file cannot be written there.
    """
    manifest = read_manifest(folder)
    rows = first_rows(folder, manifest, num_rows)
    try:
        write_text(file, page_of(folder, manifest, rows))
    except OSError as error:
        raise ConfigError(
            f"--html {file}: {error.strerror or error}; give a file in a folder that is there"
        ) from None
    return len(rows)


def page_of(folder: Path, manifest: CacheManifest, rows: list[Row]) -> str:
    """The page's text."""
    teacher, request = manifest.teacher, manifest.request
    title = escape(f"{request.task}: {teacher.backend}:{teacher.name}")
    errors = sum(file.errors for file in manifest.files)
    summary = escape(
        f"{len(rows)} of {manifest.rows} rows, {manifest.sealed_rows} sealed, {errors} failed; teacher "
        f"{teacher.revision[:12]}; stored: {', '.join(request.store) or 'nothing'}"
    )
    columns: dict[str, Callable[[Row], str]] = {
        "row": _row_id,
        "prompt": lambda row: escape(row.prompt),
        "picture": lambda row: _picture(folder, row),
        "teacher's text": lambda row: escape("\n---\n".join((row.answer and row.answer.texts) or ())),
        "label": lambda row: escape(_label(request.task, row)),
        "error": _error,
    }
    shown = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    kept = [name for name, cells in shown.items() if any(cells)]
    lines = zip(*(shown[name] for name in kept), strict=True)
    table = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in kept) + "</tr>"]
    table += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines]
    body = "\n".join(["<table>", *table, "</table></body></html>", ""])
    return _HEAD.format(title=title, summary=summary) + body


def _row_id(row: Row) -> str:
    return f'{escape(row.example.split)}<div class="id">{escape(row.example.id)}</div>'


def _picture(folder: Path, row: Row) -> str:
    """The picture that the teacher made of a row; those that it was shown are named."""
    shown = [f'<div class="id">{escape(media.path)}</div>' for media in row.example.media]
    file = folder / MEDIA_NAME / picture_name(row.example.id)
    data = file.read_bytes() if file.is_file() else b""
    if data.startswith(_PNG):
        shown.append(f'<img alt="" src="data:image/png;base64,{b64encode(data).decode()}">')
    elif data:
        shown.append(f'<div class="error">{escape(file.name)} is no PNG</div>')
    return "".join(shown)


def _label(task: str, row: Row) -> str:
    label = row.example.label
    if label.target_text is not None:
        return label.target_text
    if label.value is not None:
        return f"{label.value:g}"
    try:
        names = find_task(task).classes
    except ConfigError:
        names = ()
    return ", ".join(names[one] if one < len(names) else str(one) for one in label.class_ids)


def _error(row: Row) -> str:
    if row.answer is None:
        return ""
    if row.answer.error is not None:
        return f'<span class="error">{escape(row.answer.error)}</span>'
    return escape(row.answer.finish_reason or "")
