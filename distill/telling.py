"""What the command says of a run: what it came to, and what a finished one answers when asked again."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from distill.config import RunConfig
from schemas.console import say, show_json


def tell(run: RunConfig, folder: Path, result: Any, *, merge: bool, quiet: bool, as_json: bool) -> None:
    """Say what a finished run came to."""
    main_metrics = ", ".join(f"{name} {value:.3f}" for name, value in result.metrics["student"].items())
    say(f"student: {main_metrics}; {result.seconds['total']:.0f} s", quiet=quiet)
    paired = _paired(folder, result, quiet=quiet)
    if merge:
        from distill.again import write_merged

        say(f"merged: {write_merged(run, folder, result)}", quiet=quiet)
    if as_json:
        kept = result.model_dump(include={"config_hash", "metrics", "seconds"})
        show_json({"folder": str(folder), **kept, **({"paired": paired} if paired else {})})


def _paired(folder: Path, result: Any, *, quiet: bool) -> dict[str, Any] | None:
    """Set a run beside its undistilled twin, where that stands in the same store."""
    from distill.paired import compare, differing, twin_of
    from distill.store import beside
    from schemas.errors import ResultError

    twin = twin_of((folder, result), beside(folder))
    try:
        comparison = compare((folder, result), twin) if twin else None
    except ResultError as error:
        # The run itself is finished and whole.
        say(f"not set beside its undistilled twin: {error}", quiet=quiet)
        return None
    if twin is None or comparison is None:
        return None
    others = [f"{name} {twin[1].config[name]}" for name in differing(result, twin[1])]
    but = f" (but with {', '.join(others)})" if others else ""
    say(f"to the undistilled twin {twin[0]}{but}: {comparison}", quiet=quiet)
    return {"twin": str(twin[0]), "noise": comparison.is_noise, **asdict(comparison)}


def ask_again(
    run: RunConfig,
    cache: Any,
    folder: Path,
    digest: str,
    *,
    split: str | None,
    source: Path | None,
    harness: Any,
    as_json: bool,
) -> None:
    """Measure a finished run's student on a split or with lm-eval, or let it answer for a file, or all."""
    from distill.store import finished, lost
    from schemas.errors import ResultError

    if finished(folder, digest) is None:
        found = f"{gone[0]} is gone" if (gone := lost(folder)) else "no finished run to ask"
        idle = "--predict, --evaluate-only and --evaluate-with"
        raise ResultError(f"{folder}: {found}; run the same command without {idle}")
    from distill.again import measure_again, predict

    summary: dict[str, Any] = {"folder": str(folder)}
    if split is not None:
        summary["evaluated"] = {split: measure_again(run, cache, folder, split)}
        say(
            f"student on {split}: "
            + ", ".join(f"{k} {v:.3f}" for k, v in summary["evaluated"][split].items())
        )
    if source is not None:
        summary["predictions"] = str(predict(run, cache, folder, source))
        say(f"wrote {summary['predictions']}")
    if harness is not None:
        from distill.harness import lines_of, measure_with_harness

        path, metrics = measure_with_harness(run, cache.manifest, folder, harness)
        summary["lm_eval"] = {"report": str(path), "metrics": metrics}
        for line in (*lines_of(metrics), f"wrote {path}"):
            say(line)
    if as_json:
        show_json(summary)
