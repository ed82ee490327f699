"""`paper-tables`: run what is missing of a table's grid, and set ours beside the paper's numbers."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from distill.arguments import HERE
from schemas.console import EXIT_SOME_ROWS_FAILED, read_config_file, run_command, show_json


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    }
)
@click.option("--shards", multiple=True, help="Folder or URL of a teacher cache; may stand several times.")
@click.option("--table", type=int, multiple=True, help="Number of a table; may stand several times.")
@click.option("--figure", type=int, multiple=True, help="Number of a figure, likewise.")
@click.option("--all", is_flag=True, help="Every table and figure, and an index of them.")
@click.option(
    "--profile", type=click.Choice(["paper", "mini"]), default="paper", help="What fills the tables."
)
@click.option(
    "--students",
    multiple=True,
    metavar="NAME=PATH",
    help="Model of the paper and where it is; may stand several times.",
)
@click.option("--tasks", metavar="TASK,TASK", help="Only these, by the paper's names or ours. [default: all]")
@click.option("--seeds", metavar="N,N", help="Of the runs. [default: 42,43,44]")
@click.option("--store", type=HERE, default=Path("data/results"), help="Folder of finished runs.")
@click.option("--out", type=HERE, help="Folder of the report. [default: data/tables/PROFILE]")
@click.option("--no-run", is_flag=True, help="Report what the store has, run nothing.")
@click.option(
    "--dry-run", is_flag=True, help="Say what would run, how long and in how much memory; write nothing."
)
@click.option("--list", "listed", is_flag=True, help="List tables and figures, and those that are not made.")
@click.option(
    "--config",
    type=HERE,
    is_eager=True,
    expose_value=False,
    callback=read_config_file,
    metavar="FILE.toml",
    help="Options from a file; flags win.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def paper_tables(*, listed: bool, dry_run: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Make the paper's tables and figures from teacher caches, ours beside the paper's numbers.

    Runs that are finished in the store are not repeated, those under way in another process are waited for,
    and the same command goes on after a kill. Writes tableN.md, .csv, .html and .png. The status is 3 when
    some runs failed; they are listed, and tried again by the next call.
    """
    from distill.studies.session import list_studies, prepare

    if listed:
        list_studies(as_json=as_json)
        return
    session = prepare(command=f"paper-tables {shlex.join(sys.argv[1:])}", **options)
    if dry_run:
        _tell(session.estimate(), as_json=as_json)
        return
    summary = session.work(quiet=quiet)
    if as_json:
        show_json(summary)
    if summary["failed"]:
        sys.exit(EXIT_SOME_ROWS_FAILED)


def _tell(estimated: dict[str, Any], *, as_json: bool) -> None:
    """What would run, on standard output."""
    if as_json:
        show_json(estimated)
        return
    for line in estimated["lines"]:
        sys.stdout.write(f"{line}\n")


def main() -> None:
    """Entry point of the command."""
    run_command(paper_tables)


if __name__ == "__main__":
    main()
