"""The suite: how long `make test` and `make check` take, and which tests most of it.

Both run once, as a contributor runs them, all cores at work; so the figures have no spread. Test times are
those of pytest's own report, set-up and take-down included.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.measure import ROOT, Claim, claim_of, seconds_of

_SLOWEST = 10


def run() -> list[Claim]:
    """Measure the claims."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={report}"
        # What these targets set up is no part of them.
        _make("data")
        tests = seconds_of(lambda: _make("test", PYTEST_ADDOPTS=options))
        took = times_of(report)
    checks = seconds_of(lambda: _make("check"))
    collecting = seconds_of(_collect)
    slowest = sorted(took.items(), key=lambda one: -one[1])[:_SLOWEST]
    return [
        claim_of(
            "minutes of `make test` and `make check`",
            [(tests + checks) / 60],
            at_most=15,
            detail=f"{len(took)} tests in {tests:.0f} s, checks in {checks:.0f} s, {os.cpu_count()} cores",
        ),
        claim_of(
            f"share of the tests' seconds that the slowest {_SLOWEST} take",
            [sum(seconds for _, seconds in slowest) / sum(took.values())],
            detail="; ".join(f"{_short(name)} {seconds:.0f} s" for name, seconds in slowest),
        ),
        claim_of("seconds to collect the tests", [collecting]),
    ]


def times_of(report: Path) -> dict[str, float]:
    """Seconds of each test of a report, by file and name.

    Args:
        report: JUnit XML, as pytest writes it.
    """
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - written by our own pytest
    return {f"{one.attrib['classname']}.{one.attrib['name']}": float(one.attrib["time"]) for one in cases}


def _short(name: str) -> str:
    """File and function of a test, without its parameters."""
    return ".".join(name.partition("[")[0].split(".")[-2:])


def _make(target: str, **variables: str) -> None:
    subprocess.run(["make", target], cwd=ROOT, check=True, env={**os.environ, **variables})


def _collect() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
