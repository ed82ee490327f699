"""Where a command's time goes by the stacks of its threads, as py-spy sees them from outside."""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import ROOT

RATE = 50
OTHER = "other"
# A process's first thread has its number.
_MAIN = re.compile(r'process (\d+):".*?";thread \(\1\)(?:: MainThread)?')
Parts = Mapping[str, Sequence[str]]


def sampled(command: Sequence[object]) -> Counter[str]:
    """Run a command to its end; samples, RATE a second, by stack, of all its processes and threads.

    A stack is `process ...;thread ...;FUNCTION (FILE:LINE);...`, outermost first. Threads that wait are
    sampled too: a thread that waits for torch's others does the same work as they.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stacks"
        spy = [Path(sys.executable).with_name("py-spy"), "record", "--format", "raw", "--output", file]
        how = ["--subprocesses", "--threads", "--idle", "--rate", RATE]
        subprocess.run(
            list(map(str, [*spy, *how, "--", *command])), cwd=ROOT, check=True, capture_output=True
        )
        lines = [line.rpartition(" ") for line in file.read_text().splitlines()]
    counts = Counter[str]()
    for stack, _, count in lines:
        counts[stack] += int(count)
    return counts


def of(counts: Counter[str], *marks: str) -> Counter[str]:
    """The stacks that hold every mark."""
    return Counter({stack: count for stack, count in counts.items() if all(mark in stack for mark in marks)})


def main_threads(counts: Counter[str]) -> Counter[str]:
    """The stacks of main threads, each called MainThread, as py-spy calls it once Python has named it."""
    found = Counter[str]()
    for stack, count in counts.items():
        if _MAIN.search(stack):
            found[_MAIN.sub(r"process \1;MainThread", stack)] += count
    return found


def without(counts: Counter[str], *marks: str) -> Counter[str]:
    """The stacks that hold none of the marks."""
    return counts - sum((of(counts, mark) for mark in marks), Counter[str]())


def shares(counts: Counter[str], parts: Parts, whole: int | None = None) -> dict[str, float]:
    """The share of each part, in the order of the parts, and of what belongs to none.

    Args:
        counts: samples by stack.
        parts: what a stack holds, by part; the first that fits has it. A line break stands at a stack's end.
        whole: samples that the shares are of; None is all of `counts`.
    """
    found = dict.fromkeys([*parts, OTHER], 0)
    for stack, count in counts.items():
        fits = (name for name, marks in parts.items() if any(mark in f"{stack}\n" for mark in marks))
        found[next(fits, OTHER)] += count
    return {name: count / max(1, whole or counts.total()) for name, count in found.items()}
