"""What a report shows of a study, before it is written in any format: rows, gains, answers, remarks."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from distill.studies.profile import Profile
from distill.studies.study import LOSSES, Analysed, Finding, Key, Printed, Study

NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Gain:
    """How a number stands to its baseline, seed by seed.

    Attributes:
        mean: of the differences.
        low: end of their mean's 95 % interval by Student's t; None with one seed or without spread.
        high: its other end.
        p_value: one-sided, that it is above zero; None likewise.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.low is None or self.high is None:
            return "one seed" if self.p_value is None else "no spread"
        if self.low <= 0 <= self.high:
            return "noise"
        return "better" if self.low > 0 else "worse"


@dataclass(frozen=True, slots=True)
class Line:
    """One number.

    Attributes:
        key: of it.
        model: of it, with what stands for it.
        teacher: of it, likewise.
        task: what was learnt in place of the paper's task, or how many of an average's; "" where it is that.
        printed: by the paper; None where it prints none.
        ours: by seed.
        reason: why there is none, or not of every seed; "" where there is.
        printed_gain: over the baseline, by the paper's numbers.
        gain: by ours.
    """

    key: Key
    model: str
    teacher: str
    task: str
    printed: Printed | None
    ours: Mapping[int, float]
    reason: str
    printed_gain: float | None
    gain: Gain | None

    @property
    def mean(self) -> float | None:
        """Over seeds."""
        return fmean(self.ours.values()) if self.ours else None

    @property
    def deviation(self) -> float | None:
        """Over seeds, n - 1."""
        return stdev(self.ours.values()) if len(self.ours) > 1 else None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's; None where the two are not of one task."""
        if self.mean is None or self.printed is None or self.task:
            return None
        return self.mean - self.printed.value


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean gain of one model over its tasks.

    Attributes:
        model: of the paper.
        teacher: likewise.
        variant: a loss, or the best of three.
        printed: by the paper's numbers; None where it prints none.
        ours: by ours; None where not run.
        num_tasks: that ours is over.
    """

    model: str
    teacher: str
    variant: str
    printed: float | None
    ours: float | None
    num_tasks: int

    @property
    def is_best(self) -> bool:
        """It is the best of three losses, which no single run has."""
        return self.variant not in LOSSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that a report says of a study.

    Attributes:
        study: that it is of.
        profile: that was filled.
        lines: numbers.
        summaries: mean gains, best of three and single losses apart.
        findings: answers to its questions.
        notes: what an analysis must say.
        analysed: with points to draw; None without.
        provenance: how the runs were made, name to words.
        command: that made it.
    """

    study: Study
    profile: Profile
    lines: tuple[Line, ...]
    summaries: tuple[Summary, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    analysed: Analysed | None
    provenance: Mapping[str, str]
    command: str

    @property
    def num_run(self) -> int:
        """Numbers that are there."""
        return sum(bool(line.ours) for line in self.lines)
