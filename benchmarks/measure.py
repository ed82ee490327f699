"""What every benchmark shares: a claim with its spread, and the page that shows them."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Each figure is a ratio between two ways of doing the same work, in one run; absolute figures hold for the
machine named beside them. `make bench` measures all and writes this page, `make bench ONLY=NAME` one of them.
"""
PACKAGES = ("torch", "transformers", "accelerate", "pyarrow", "numpy", "ctranslate2", "hibari-tts")


@dataclass(frozen=True, slots=True)
class Claim:
    """One measured figure.

    Attributes:
        claim: what is said, in words.
        wanted: the bound that it is held against, in words.
        holds: whether the median keeps the bound.
        median: of the rounds.
        low: smallest round.
        high: largest round.
        detail: absolute figures behind the ratio, which hold for this machine only.
    """

    claim: str
    wanted: str
    holds: bool
    median: float
    low: float
    high: float
    detail: str = ""


def claim_of(
    claim: str,
    ratios: Sequence[float],
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    detail: str = "",
) -> Claim:
    """Summarise the rounds of one ratio against its bound."""
    median = statistics.median(ratios)
    holds = (at_most is None or median <= at_most) and (at_least is None or median >= at_least)
    bounds = (("at most", at_most), ("at least", at_least))
    wanted = ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None) or "none set"
    return Claim(claim, wanted, holds, median, min(ratios), max(ratios), detail)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def machine() -> str:
    """The machine and the versions that a figure belongs to, in one line."""
    name = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        models = [line for line in cpu_info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def record(name: str, title: str, claims: Sequence[Claim]) -> None:
    """Keep the claims of one benchmark and write the page anew; the other benchmarks keep theirs."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {
        "title": title,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "command": f"make bench ONLY={name}",
        "claims": [asdict(claim) for claim in claims],
    }
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
    PAGE.write_text(page_of(dict(sorted(results.items()))))


def page_of(results: dict[str, dict]) -> str:
    """The Markdown page of all benchmarks."""
    parts = [_HEAD]
    for name, result in results.items():
        rows = "\n".join(_line(Claim(**claim)) for claim in result["claims"])
        parts.append(
            f"## {result['title']}\n\n"
            f"`{result['command']}` (benchmarks/{name}.py), {result['date']}; {result['machine']}.\n\n"
            "| claim | wanted | median | lowest to highest round | holds | |\n|---|---|---|---|---|---|\n"
            f"{rows}\n"
        )
    return "\n".join(parts)


def _line(claim: Claim) -> str:
    spread = f"{claim.low:.3g} to {claim.high:.3g}"
    holds = "yes" if claim.holds else "**no**"
    return f"| {claim.claim} | {claim.wanted} | {claim.median:.3g} | {spread} | {holds} | {claim.detail} |"
