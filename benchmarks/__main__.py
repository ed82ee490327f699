"""`python -m benchmarks [NAME ...]`: measure, print, and write docs/benchmarks.md.

Each benchmark is a module with a docstring whose first line is its title, and `run() -> list[Claim]`. It runs
in a process of its own, so that no benchmark warms or burdens the next.
"""

import subprocess
import sys
from importlib import import_module

from benchmarks.measure import ROOT
from benchmarks.page import record

NAMES = (
    "attention",
    "caching",
    "codecs",
    "diffusion",
    "distillation",
    "gpu",
    "kills",
    "many_rows",
    "node_bytes",
    "orthogonal",
    "padding",
    "peers",
    "ray_workers",
    "readers",
    "reading",
    "service",
    "serving",
    "startup",
    "suite",
    "token_loss",
    "training",
    "whole_runs",
)


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; the status says how many failed."""
    if unknown := [name for name in names if name not in NAMES]:
        sys.exit(f"benchmarks: {unknown[0]} is none; choose from {', '.join(NAMES)}")
    if len(names) == 1:
        measure(names[0])
        return 0
    commands = [[sys.executable, "-m", "benchmarks", name] for name in names or NAMES]
    return sum(subprocess.run(command, cwd=ROOT, check=False).returncode != 0 for command in commands)


def measure(name: str) -> None:
    """Run one benchmark in this process."""
    module = import_module(f"benchmarks.{name}")
    title = (module.__doc__ or name).splitlines()[0].rstrip(".")
    print(f"{name}: {title}", flush=True)
    claims = module.run()
    for claim in claims:
        mark = "holds" if claim.holds else "FAILS"
        spread = f"{claim.low:.3g} to {claim.high:.3g}"
        print(
            f"  {mark}: {claim.claim}: {claim.median:.3g} ({spread}), wanted {claim.wanted}; {claim.detail}"
        )
    record(name, title, claims)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
