"""Results beside each other: `python -m distill.report FOLDER...` prints one table a task and cache."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from distill.paired import Comparison, compare, twin_of
from schemas.console import run_command
from schemas.errors import ResultError
from schemas.result import RESULT_NAME, RunResult, read_result

_STUDENT_NAMES = {
    "undistilled": "undistilled student",
    "armada": "ARMADA student",
    "kd": "KD student",
    "seqkd": "SeqKD student",
    "armada+kd": "ARMADA and KD student",
    "shuffle": "ARMADA, representations shuffled",
}
# What a run is not asked about in its name, and how another choice is said.
_USUAL = {
    "manifold": ("euclid", "{}"),
    "formulation": ("reference", "{} losses"),
    "aligner": ("reference", "{} aligner"),
    "schedule": ("alternating", "{}"),
    "lora_rank": ("", "LoRA of rank {}"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table.

    Attributes:
        name: who answered.
        metrics: of it.
        seconds: of its run; None where the row is part of another's run.
        folder: of its run; None likewise.
        twin: metrics of the undistilled run that it is tested against; None where there is none.
        paired: that test.
    """

    name: str
    metrics: dict[str, float]
    seconds: float | None = None
    folder: Path | None = None
    twin: dict[str, float] | None = None
    paired: Comparison | None = None

    def parts(self, metric: str) -> list[tuple[str, float]]:
        """The metric of each of the task's parts, by name."""
        return [
            (name.removeprefix(f"{metric}/"), value)
            for name, value in self.metrics.items()
            if name.startswith(f"{metric}/")
        ]


def find_results(folders: Iterable[Path]) -> dict[str, list[tuple[Path, RunResult]]]:
    """Every finished run below some folders, by task and cache, oldest name first.

    Runs of two caches have other rows, so they stand in two tables.

    Raises:
        ResultError: there is none, or one cannot be read.
    """
    paths = sorted({path.parent for folder in folders for path in folder.rglob(RESULT_NAME)})
    if not paths:
        raise ResultError("no run.json below the given folders; run distill first")
    found: dict[str, list[tuple[Path, RunResult]]] = {}
    for path in paths:
        result = read_result(path)
        origin = f"{result.config['task']}, {result.cache.name} ({result.cache.digest[:8]})"
        found.setdefault(origin, []).append((path, result))
    return found


def lines(runs: Sequence[tuple[Path, RunResult]]) -> list[Line]:
    """The rows of one task: students first, then who they are measured against."""
    ordered = sorted(runs, key=lambda run: (_rank(run[1]), str(run[0])))
    students = [_student(run, ordered) for run in ordered]
    return [*students, *_yardsticks([result for _, result in ordered])]


def _student(run: tuple[Path, RunResult], others: Sequence[tuple[Path, RunResult]]) -> Line:
    path, result = run
    line = Line(name_of(result), result.metrics["student"], result.seconds["total"], path)
    twin = twin_of(run, others)
    paired = compare(run, twin) if twin else None
    if twin is None or paired is None:
        return line
    return replace(line, twin=twin[1].metrics["student"], paired=paired)


def _yardsticks(results: Sequence[RunResult]) -> Iterator[Line]:
    for result in results:
        # An aligner of a generative task writes nothing that could be measured so.
        if result.selection["metric"] in result.metrics.get("aligner", {}):
            yield Line(f"aligner alone (of {name_of(result)})", result.metrics["aligner"])
    yield Line("majority class", results[0].metrics["majority"])


def name_of(result: RunResult) -> str:
    """What a run is called in a table."""
    config = result.config
    kind = config.get("control", "none")
    name = _STUDENT_NAMES.get(config["method"] if kind == "none" else kind, f"{config['method']}, {kind}")
    unusual = [
        f", {how.format(config[option])}"
        for option, (usual, how) in _USUAL.items()
        if config.get(option, usual) != usual
    ]
    return f"{name}{''.join(unusual)}, seed {config['seed']}"


def _rank(result: RunResult) -> tuple[bool, bool, int]:
    config = result.config
    return config["method"] != "undistilled", config.get("control", "none") != "none", config["seed"]


def standard_error(share: float, count: int) -> float:
    """Of a share measured on `count` rows: the root of p (1 - p) / n."""
    return math.sqrt(share * (1 - share) / count)


def difference(line: Line, base: Line | None, metric: str, rows: int) -> str:
    """How a row stands to the undistilled student, and whether that is more than chance makes.

    Beside its twin where the paired test could be made; else beside `base`, by one standard error.
    """
    if line.paired is not None and line.twin is not None:
        noise = ", noise" if line.paired.is_noise else ""
        return f"{line.metrics[metric] - line.twin[metric]:+.3f} (p {line.paired.p_value:.2g}{noise})"
    if base is None or line is base:
        return ""
    gap = line.metrics[metric] - base.metrics[metric]
    noise = abs(gap) <= standard_error(base.metrics[metric], rows) if metric == "accuracy" else False
    return f"{gap:+.3f}{' (noise)' if noise else ''}"


def show(origin: str, runs: Sequence[tuple[Path, RunResult]]) -> None:
    """Print the table of one cache: drawn on a terminal, plain otherwise."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    rows = lines(runs)
    metric, num_rows = str(runs[0][1].selection["metric"]), runs[0][1].num_rows["report"]
    base = next((line for line in rows if line.name.startswith(_STUDENT_NAMES["undistilled"])), None)
    box = SIMPLE if sys.stdout.isatty() else None
    table = Table(title=f"{origin}: {num_rows} reported rows", box=box)
    for title in ("", metric, "to undistilled", "macro-F1", "seconds"):
        table.add_column(title, justify="right" if title else "left", overflow="fold")
    for line in rows:
        table.add_row(
            line.name,
            f"{line.metrics[metric]:.3f}",
            difference(line, base, metric, num_rows),
            f"{line.metrics['macro_f1']:.3f}" if "macro_f1" in line.metrics else "",
            "" if line.seconds is None else f"{line.seconds:.0f}",
        )
        for part, value in line.parts(metric):
            table.add_row(f"  {part}", f"{value:.3f}")
    width = None if sys.stdout.isatty() else 200
    Console(width=width).print(table)
    # Below the table and by themselves, so that no narrow terminal breaks a path that is to be copied.
    for line in rows:
        if line.folder is not None:
            print(f"{line.name}: {line.folder}")  # noqa: T201
    if base is not None and metric == "accuracy":
        error = standard_error(base.metrics[metric], num_rows)
        print(f"noise: p of 0.05 or more; without a p, within one standard error of undistilled, {error:.3f}")  # noqa: T201
    for test in sorted({line.paired.test for line in rows if line.paired}):
        print(f"p: {test} beside the undistilled run of the same cache, student and seed")  # noqa: T201


def report(folders: Sequence[Path]) -> None:
    """Print one table a task and cache for every run below the folders."""
    for origin, runs in find_results(folders).items():
        show(origin, runs)


@click.command("distill.report", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folders", type=click.Path(path_type=Path), nargs=-1)
def command(folders: tuple[Path, ...]) -> None:
    """Print one table a task and cache for each finished run below FOLDERS (data/results for none)."""
    report(folders or (Path("data/results"),))


def main() -> None:
    """`python -m distill.report FOLDER...`."""
    run_command(command)


if __name__ == "__main__":
    main()
