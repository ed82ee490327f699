"""The page of all benchmarks, docs/benchmarks.md: how many claims hold, a picture, and a table for each."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from benchmarks.measure import ROOT, Claim, machine
from benchmarks.picture import draw

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.png"
_HEAD = """# Benchmarks

Each figure is a ratio between two ways of doing the same work, in one run; absolute figures hold for the
machine named beside them. `make bench` measures all and writes this page, `make bench ONLY=NAME` one of them.
Where the time of both stages goes: [performance.md](performance.md).

{summary}

![Ours beside each peer, the same work in the same run](images/benchmarks.png)

One row a peer; right of the line at 1 is better than the peer. The tick is the bound that was set before
measuring; the bar spans the rounds. `benchmarks/picture.py` names the rows.
"""


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
    write_page()


def write_page() -> None:
    """Write page and picture from what was measured."""
    results = json.loads(RESULTS.read_text())
    PAGE.write_text(page_of(results))
    PICTURE.write_bytes(draw(claims_of(results)))


def claims_of(results: dict[str, dict]) -> dict[str, list[Claim]]:
    """The claims by benchmark."""
    return {name: [Claim(**claim) for claim in result["claims"]] for name, result in results.items()}


def page_of(results: dict[str, dict]) -> str:
    """The Markdown page of all benchmarks."""
    claims = claims_of(results)
    parts = [_HEAD.format(summary=_summary(claims))]
    for name, result in results.items():
        rows = "\n".join(_line(claim) for claim in claims[name])
        parts.append(
            f"## {result['title']}\n\n"
            f"`{result['command']}` (benchmarks/{name}.py), {result['date']}; {result['machine']}.\n\n"
            "| claim | wanted | median | lowest to highest round | holds | |\n|---|---|---|---|---|---|\n"
            f"{rows}\n"
        )
    return "\n".join(parts)


def _summary(claims: dict[str, list[Claim]]) -> str:
    bounded = [claim for some in claims.values() for claim in some if claim.bounds]
    missed = [claim for claim in bounded if not claim.holds]
    lines = [f"{len(bounded) - len(missed)} of {len(bounded)} claims with a bound hold. Not held:"]
    lines += [f"- {claim.claim}: {claim.median:.3g}, wanted {claim.wanted}" for claim in missed]
    return "\n".join(lines) if missed else f"All {len(bounded)} claims with a bound hold."


def _line(claim: Claim) -> str:
    spread = f"{claim.low:.3g} to {claim.high:.3g}"
    holds = "" if not claim.bounds else "yes" if claim.holds else "**no**"
    return f"| {claim.claim} | {claim.wanted} | {claim.median:.3g} | {spread} | {holds} | {claim.detail} |"
