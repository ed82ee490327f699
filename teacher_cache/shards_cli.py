"""teacher-shards: look at a teacher cache."""

import sys
from pathlib import Path
from typing import Any

import click

from schemas.console import EXIT_FAILED, run_command, say, show_json
from teacher_cache.arguments import CACHE, PLACE
from teacher_cache.interchange_cli import export_command, import_command

_FOLDER = click.argument("folder", type=CACHE)
_JSON = click.option("--json", "as_json", is_flag=True, help="One object on standard output.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Look at a teacher cache: what it holds, how far it is, whether its bytes are whole, how good it is.

    Or bring it to the files of another library, and those to a cache.
    """


group.add_command(export_command)
group.add_command(import_command)


@group.command()
@_FOLDER
@click.option("--rows", type=click.IntRange(0), help="First rows to show.  [default: 3; 50 with --html]")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page of the rows instead, with their pictures.",
)
@_JSON
def inspect(folder: Path, rows: int | None, html: Path | None, *, as_json: bool) -> None:
    """What a cache holds: teacher, request, sizes, first rows."""
    if html is None:
        from teacher_cache.inspection import inspect as inspect_cache

        _show(inspect_cache(folder, 3 if rows is None else rows), as_json=as_json)
        return
    from teacher_cache.page import write_page

    shown = write_page(folder, html, 50 if rows is None else rows)
    if as_json:
        show_json({"folder": str(folder), "html": str(html), "rows": shown})
    else:
        say(f"{html}: {shown} rows")


@group.command()
@_FOLDER
@_JSON
def status(folder: Path, *, as_json: bool) -> None:
    """How far a cache is, sealed and journalled, who writes to it, and when it will be done."""
    from teacher_cache.inspection import status as status_of

    _show(status_of(folder), as_json=as_json)


@group.command()
@click.argument("folder", type=PLACE)
@_JSON
def verify(folder: Path | str, *, as_json: bool) -> None:
    """Compare every checksum, of a store's files anew: one line a fault, and status 1 if there is any."""
    from schemas.local_copy import local_copy
    from teacher_cache.inspection import faults

    found = faults(local_copy(folder, afresh=True))
    if as_json:
        show_json({"folder": str(folder), "whole": not found, "faults": found})
    for line in found:
        say(line)
    if found:
        sys.exit(EXIT_FAILED)
    if not as_json:
        say(f"{folder}: every checksum holds")


@group.command()
@click.argument("folders", type=CACHE, nargs=-1, required=True)
@click.option("--out", type=PLACE, required=True, help="Folder of the whole cache, or its URL.")
@_JSON
def merge(folders: tuple[Path, ...], out: Path | str, *, as_json: bool) -> None:
    """Join the parts that cache-teacher --part I/N made: the bytes of one run on one machine."""
    from teacher_cache.merging import merge as merge_parts
    from teacher_cache.merging import merge_to_store

    merged = merge_parts(folders, out) if isinstance(out, Path) else merge_to_store(folders, out)
    if as_json:
        show_json(merged)
    else:
        say(f"{out}: {merged['rows']} rows in {merged['shards']} shards, {merged['errors']} rows failed")


@group.command()
@_FOLDER
@click.option(
    "--folds", type=click.IntRange(2), default=5, show_default=True, help="Parts of the training split."
)
@_JSON
def probe(folder: Path, folds: int, *, as_json: bool) -> None:
    """How good the representations are: a linear probe with cross-validation, beside guessing."""
    from teacher_cache.probe import probe as probe_cache

    found = probe_cache(folder, folds)
    if as_json:
        show_json(found)
        return
    click.echo(
        f"{found['task']}, {found['rows']} training rows, {found['folds']} folds, {found['metric']}: linear "
        f"probe {found['mean']:.3f} ± {found['sd']:.3f}, {found['baseline_name']} {found['baseline']:.3f}"
    )


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        for line in _lines(found):
            click.echo(line)


def _lines(found: dict[str, Any], indent: str = "") -> list[str]:
    """Nested settings as indented lines; what is not known is left out."""
    lines: list[str] = []
    for name, value in found.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, start=1):
                title = f"{name.removesuffix('s').replace('_', ' ')} {number}"
                lines += [f"{indent}{title}:", *_lines(item, indent + "  ")]
        elif value not in (None, {}, []):
            lines.append(
                f"{indent}{name}: {value:.10g}" if isinstance(value, float) else f"{indent}{name}: {value}"
            )
    return lines


def main() -> None:
    """Entry point of `teacher-shards`."""
    run_command(group)
