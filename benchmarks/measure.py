"""What every benchmark shares: a claim with its spread, a clock, and the machine."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "transformers", "accelerate", "pyarrow", "numpy", "ctranslate2", "hibari-tts")


@dataclass(frozen=True, slots=True)
class Claim:
    """One measured figure.

    Attributes:
        claim: what is said, in words.
        median: of the rounds.
        low: smallest round.
        high: largest round.
        at_most: the bound from above that was set before, if any.
        at_least: the bound from below, if any.
        detail: absolute figures behind the ratio, which hold for this machine only.
    """

    claim: str
    median: float
    low: float
    high: float
    at_most: float | None = None
    at_least: float | None = None
    detail: str = ""

    @property
    def bounds(self) -> list[tuple[str, float]]:
        """The bounds in words and numbers."""
        both = (("at most", self.at_most), ("at least", self.at_least))
        return [(word, bound) for word, bound in both if bound is not None]

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        return ", ".join(f"{word} {bound:g}" for word, bound in self.bounds) or "none set"

    @property
    def holds(self) -> bool:
        """Whether the median keeps its bounds."""
        low = self.at_least is None or self.median >= self.at_least
        return low and (self.at_most is None or self.median <= self.at_most)


def claim_of(
    claim: str,
    ratios: Sequence[float],
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    detail: str = "",
) -> Claim:
    """Summarise the rounds of one ratio against its bound."""
    return Claim(claim, statistics.median(ratios), min(ratios), max(ratios), at_most, at_least, detail)


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
    return f"{name}, {os.cpu_count()} cores, {_card()}Python {platform.python_version()}, {versions}"


def _card() -> str:
    import torch

    if not torch.cuda.is_available():
        return ""
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, "
