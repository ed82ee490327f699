"""`python -m distill.analyses`: where two students differ, and how their states lie.

What it writes are plain tables; pictures are drawn by `paper-tables`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from schemas.console import run_command, say, show_json


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("distilled", type=click.Path(path_type=Path))
@click.argument("undistilled", type=click.Path(path_type=Path))
@click.option("--shards", type=click.Path(path_type=Path), required=True, help="The cache of both runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for tables of rows and of points.")
@click.option("--aligner/--no-aligner", default=True, help="Points of the aligner too, with --out.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Of k-means and t-SNE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def analyses(
    distilled: Path,
    undistilled: Path,
    shards: Path,
    out: Path | None,
    seed: int,
    *,
    aligner: bool,
    as_json: bool,
) -> None:
    """Compare two finished runs: DISTILLED, a folder of armada, and UNDISTILLED, its twin's.

    Prints how many rows one of the two alone gets right, silhouettes, distances to class centroids and the
    purity of clusters. With --out it writes scenario-1.csv and scenario-2.csv, the rows themselves, and
    tsne.csv, the point of each row for each tower.
    """
    from dataclasses import asdict

    from distill.analyses.measures import measures
    from distill.analyses.pair import open_pair
    from distill.paired import differing
    from schemas.cache import open_cache
    from schemas.result import read_result

    results = [read_result(folder) for folder in (distilled, undistilled)]
    if others := differing(*results):
        say(f"the runs are no twins: they differ in {', '.join(others)}")
    cache = open_cache(shards)
    pair = open_pair(distilled, undistilled, cache, aligner=aligner and out is not None)
    counts = {f"scenario {number}": int(rows.sum()) for number, rows in pair.answers.scenarios.items()}
    found = measures(pair, seed)
    files = [str(path) for path in _write(out, pair, cache, seed)] if out else []
    if as_json:
        made = [asdict(one) for one in found]
        show_json({"rows": len(pair.answers.ids), **counts, "measures": made, "files": files})
        return
    click.echo(
        f"{len(pair.answers.ids)} rows: the distilled student alone is right on {counts['scenario 1']} "
        f"(scenario 1), the undistilled alone on {counts['scenario 2']} (scenario 2)"
    )
    for one in found:
        value = f"not made: {one.reason}" if one.value is None else f"{one.value:.3f}"
        click.echo(f"{one.tower}, {one.what}: {value}")
    for file in files:
        say(f"wrote {file}")


def _write(out: Path, pair: Any, cache: Any, seed: int) -> Iterator[Path]:
    import polars as pl

    from distill.analyses.examples import examples
    from distill.analyses.tsne import tsne

    out.mkdir(parents=True, exist_ok=True)
    tables = {
        f"scenario-{number}": examples(pair.answers, cache, number) for number in pair.answers.scenarios
    }
    points = {tower: tsne(states_RD, seed) for tower, states_RD in pair.states.items()}
    columns = {
        f"{tower} {axis}": values
        for tower, both in points.items()
        for axis, values in zip("xy", both.T, strict=True)
    }
    gold = [pair.answers.name_of(one) for one in pair.answers.gold]
    tables["tsne"] = pl.DataFrame({"example_id": pair.answers.ids, "gold": gold, **columns})
    for name, table in tables.items():
        path = out / f"{name}.csv"
        table.write_csv(path)
        yield path


def main() -> None:
    """Entry point of the module."""
    run_command(analyses)


if __name__ == "__main__":
    main()
