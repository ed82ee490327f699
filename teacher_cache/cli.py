"""cache-teacher: ask a teacher once, keep all that it said."""

import math
import signal
import sys
from typing import Any

import click

from schemas.console import EXIT_SOME_ROWS_FAILED, read_config_file, run_command, say, show_json
from teacher_cache.arguments import CACHE, HERE, PLACE


class _Finite(click.FloatRange):
    """A number that is one: neither NaN nor infinite, which every bound lets pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is no finite number", param, ctx)
        return number


class _EntriesType(click.IntRange):
    """A number of entries, or -1 for the whole vocabulary."""

    def __init__(self) -> None:
        super().__init__(min=-1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number == 0:
            self.fail("0 keeps none; give 1 or more, or -1 for the whole vocabulary", param, ctx)
        return number


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(name.strip() for name in value.split(","))


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--model",
    required=True,
    metavar="BACKEND:NAME",
    help="The teacher, of speech, transformers, vllm, openai, diffusers, or none (docs/teachers.md).",
)
@click.option(
    "--out",
    type=PLACE,
    metavar="DIR|URL",
    help="Folder of the cache, or an object store's, s3://...  [default: data/shards/TASK/MODEL-AS-A-NAME]",
)
@click.option(
    "--task", help="Task of the examples.  [default: movie-sentiment; with --prompts the rows' own]"
)
@click.option(
    "--source",
    type=HERE,
    help="The task's original files, a saved dataset, or a hub name.  [default: data/tasks/...]",
)
@click.option("--prompts", type=HERE, help="File of examples, instead of --source (docs/sources.md).")
@click.option(
    "--splits", default="train,validation,test", show_default=True, callback=_names, help="Splits to keep."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="Rows over all splits, in proportion; a lower limit takes a subset.",
)
@click.option(
    "--teach",
    type=click.Choice(["all", "train"]),
    default="all",
    show_default=True,
    help="Rows to ask about; others are sealed without answers.",
)
@click.option(
    "--store",
    callback=_names,
    metavar="SIGNALS",
    help="What to keep, of text,repr,logprobs.  [default: the backend's]",
)
@click.option(
    "--template",
    metavar="NAME|TEXT",
    help="What the teacher is asked: plain, instruction, or a text with a field as {name}.",
)
@click.option("--system", metavar="TEXT", help="What stands before the conversation.")
@click.option("--max-tokens", type=click.IntRange(1), help="Of one text.  [default: 256]")
@click.option(
    "--sampling-temperature",
    type=_Finite(0),
    help="0 takes the most probable token.  [default: 0]",
)
@click.option("--num-samples", type=click.IntRange(1), help="Texts a row.  [default: 1]")
@click.option("--generation-seed", type=click.IntRange(0), help="Of sampling.  [default: 0]")
@click.option(
    "--score",
    metavar="reference|DIR",
    help="Score the reference answers, or another cache's texts, instead of writing.",
)
@click.option("--top-k", type=_EntriesType(), help="Log-probabilities a token; -1 for all.  [default: 50]")
@click.option("--top-p", type=_Finite(0, 1, min_open=True), help="Mass after which fewer do.  [default: 1]")
@click.option("--min-k", type=click.IntRange(1), help="Fewest log-probabilities a token.  [default: 1]")
@click.option(
    "--codec",
    type=click.Choice(["exact", "half", "packed", "sampled"]),
    help="How they are written (docs/shard-format.md).  [default: packed]",
)
@click.option("--num-draws", type=click.IntRange(1, 255), help="Draws a token, codec sampled.  [default: 32]")
@click.option(
    "--option",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the backend (docs/teachers.md); may stand several times.",
)
@click.option("--batch-size", type=click.IntRange(1), help="Rows of one call.  [default: the backend's]")
@click.option("--concurrency", type=click.IntRange(1), help="Calls at once.  [default: the backend's]")
@click.option("--workers", type=click.IntRange(1), help="Processes that answer.  [default: one a core]")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="This machine, or a Ray cluster (docs/scaling.md).",
)
@click.option("--address", help="Of the cluster.  [default: $RAY_ADDRESS, or one started here]")
@click.option("--gpus-per-worker", type=_Finite(0), help="Of a cluster, shares allowed.  [default: 0]")
@click.option("--base-url", metavar="URL", help="Of the service.  [default: $OPENAI_BASE_URL, or OpenAI's]")
@click.option(
    "--api-key-env",
    default="OPENAI_API_KEY",
    show_default=True,
    metavar="NAME",
    help="Environment variable that holds the service's key.",
)
@click.option("--allow-remote-media", is_flag=True, help="Fetch pictures that examples name by a URL.")
@click.option("--keep-media", is_flag=True, help="Keep the pictures that the teacher makes, in media/.")
@click.option(
    "--timeout",
    type=_Finite(0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds without a byte after which a request is given up.",
)
@click.option("--max-retries", type=click.IntRange(0), default=5, show_default=True, help="Of one request.")
@click.option("--max-requests-per-minute", type=click.IntRange(1), help="Sent to the service.")
@click.option("--max-tokens-per-minute", type=click.IntRange(1), help="Prompt and completion.")
@click.option(
    "--max-cost",
    type=_Finite(0, min_open=True),
    help="Money after which nothing is asked any more; needs --price-file.",
)
@click.option("--price-file", type=HERE, metavar="FILE.toml", help="Prices of models (docs/teachers.md).")
@click.option(
    "--rows-per-shard", type=click.IntRange(1), default=1000, show_default=True, help="Rows of a shard."
)
@click.option(
    "--part",
    metavar="I/N",
    help="Make every N-th shard, from the I-th on: for N machines; teacher-shards merge joins them.",
)
@click.option(
    "--resume",
    type=click.Choice(["auto", "never", "must"]),
    default="auto",
    show_default=True,
    help="Go on where there is something; want an empty folder; want a started one.",
)
@click.option("--retry-errors", is_flag=True, help="Ask again for rows that failed.")
@click.option(
    "--reuse", type=CACHE, metavar="DIR", help="Copy answers to the same question from another cache."
)
@click.option(
    "--max-consecutive-errors",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Failed rows in a row that stop the run; 0 for never.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Ask for a few rows, write nothing, print what the rows still to be asked would take.",
)
@click.option(
    "--config",
    type=HERE,
    is_eager=True,
    expose_value=False,
    callback=read_config_file,
    metavar="FILE.toml",
    help="Options from a file; flags win.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="One summary object on standard output.")
def command(*, as_json: bool, **options: Any) -> None:
    """Ask a frozen teacher about every example, once, and keep what it said in a folder of Parquet shards.

    A run that was stopped, in any way, goes on with the same command. The status is 0 when the cache is
    whole, 3 when it is whole and rows failed, 1 when it is not, 2 for wrong usage, 130 when it was stopped by
    Ctrl-C or SIGTERM.
    """
    from teacher_cache.cache import cache_teacher
    from teacher_cache.config import CacheConfig

    if isinstance(url := options["out"], str):
        from teacher_cache.upload import working_folder

        options |= {"upload_to": url, "out": working_folder(url)}
    config = CacheConfig(**options)
    summary = cache_teacher(config)
    if as_json:
        show_json(summary)
    else:
        say(_sentence(summary), quiet=config.quiet)
    if summary.get("errors"):
        sys.exit(EXIT_SOME_ROWS_FAILED)


def _sentence(summary: dict[str, Any]) -> str:
    if summary.get("dry_run"):
        return _projected(summary)
    failed = (
        f", {summary['errors']} rows failed (--retry-errors asks them again), "
        f"the first: {summary['first_error']}"
        if summary["errors"]
        else ""
    )
    return (
        f"{summary['folder']}: {summary['rows']} rows in {summary['shards']} shards, {summary['asked']} "
        f"asked now, {summary['reused']} copied, {summary['seconds']:.1f} s{_paid(summary['spent'])}{failed}"
    )


def _paid(spent: dict[str, Any] | None) -> str:
    if spent is None:
        return ""
    tokens = spent["prompt_tokens"] + spent["completion_tokens"]
    money = "" if spent["cost"] is None else f", {spent['cost']:.4f} {spent['currency']}"
    return f", {tokens} tokens{money}"


def _projected(summary: dict[str, Any]) -> str:
    seconds, tokens, cost, errors = (
        summary[name] for name in ("projected_seconds", "projected_tokens", "projected_cost", "sample_errors")
    )
    counted = f", {tokens} tokens" if tokens else ""
    money = "" if cost is None else f", {cost:.4f} {summary['currency']}"
    paid = "" if cost is None else f" for {summary['sample_cost']:.6f} {summary['currency']}"
    failed = f"; {len(errors)} of them failed: {errors[0]}" if errors else ""
    return (
        f"would ask {summary['rows_to_ask']} of {summary['rows']} rows: {seconds:.0f} s "
        f"({seconds / 3600:.2f} h), {summary['projected_bytes'] / 1e9:.4f} GB{counted}{money}, from "
        f"{summary['sample_rows']} tried{paid}{failed}"
    )


def main() -> None:
    """Entry point of `cache-teacher`; whoever ends a process politely is heard as Ctrl-C is."""
    signal.signal(signal.SIGTERM, _stop)
    run_command(command)


def _stop(*_: object) -> None:
    # Of a job that a script put into the background Ctrl-C is ignored, and asyncio leaves it so.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
