"""teacher-shards export and import; it stands outside their folder, whose table brings Arrow with it."""

from typing import Any

import click

from schemas.console import say, show_json
from teacher_cache.arguments import CACHE, HERE

# The names of the table in interchange/, which is not imported here: `--help` answers at once.
FORMATS = ("distillkit", "axolotl", "openai-batch", "trl")
_FORMAT = click.option("--format", "format_", required=True, type=click.Choice(FORMATS), help="Of the files.")
_QUIET = click.option("--quiet", is_flag=True, help="No progress.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One summary object on standard output.")


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(name.strip() for name in value.split(","))


@click.command(name="export")
@click.argument("folder", type=CACHE)
@_FORMAT
@click.option("--out", required=True, type=HERE, help="New folder to write.")
@click.option("--split", "splits", callback=_names, help="Splits, commas between.  [default: all]")
@click.option("--tokenizer", type=HERE, metavar="DIR", help="The teacher's, for formats made of tokens.")
@click.option(
    "--length", type=click.IntRange(2), help="Tokens of a row, distillkit.  [default: the longest row's]"
)
@_QUIET
@_JSON
def export_command(*, format_: str, as_json: bool, **options: Any) -> None:
    """Write a cache in a foreign format; what that has no place for goes to prompts.jsonl beside it."""
    from teacher_cache.interchange.exporting import ExportConfig, export_cache

    config = ExportConfig(format=format_, **options)
    summary = export_cache(config)
    if as_json:
        show_json(summary)
    else:
        say(f"{summary['folder']}: {sum(summary['rows'].values())} rows for {format_}", quiet=config.quiet)


@click.command(name="import")
@click.argument("path", type=HERE)
@_FORMAT
@click.option("--out", required=True, type=HERE, help="Folder of the new cache.")
@click.option("--task", help="Task of the rows.  [default: that of --prompts, else free]")
@click.option("--tokenizer", type=HERE, metavar="DIR", help="That the tokens are of; makes texts of them.")
@click.option("--vocab-size", type=int, help="Number of ids, without a tokenizer or above its own.")
@click.option("--prompts", type=HERE, metavar="FILE", help="What was asked, joined by id (docs/sources.md).")
@click.option("--number-rows", is_flag=True, help="Name rows by their position; for files without ids.")
@click.option(
    "--codec", type=click.Choice(["exact", "half", "packed"]), help="Of log-probabilities.  [default: packed]"
)
@click.option(
    "--rows-per-shard", type=click.IntRange(1), default=1000, show_default=True, help="Rows of a shard."
)
@_QUIET
@_JSON
def import_command(*, format_: str, as_json: bool, **options: Any) -> None:
    """Make a teacher cache of a foreign file, or of a folder of them."""
    from teacher_cache.interchange.importing import ImportConfig, import_cache

    config = ImportConfig(format=format_, **options)
    summary = import_cache(config)
    if as_json:
        show_json(summary)
    else:
        failed = f", {summary['errors']} of them errors" if summary["errors"] else ""
        say(f"{summary['folder']}: {summary['rows']} rows{failed}", quiet=config.quiet)
