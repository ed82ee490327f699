"""A table or figure of the paper as data: the runs that it wants, and what it reads of each.

Everything here is named as the paper names it; `profiles.py` says what stands for those names on a machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.result import RunResult

UNDISTILLED = "undistilled"
LOSSES = ("cosine", "euclid", "elementwise")
ALIGNER_ROW = "ts-aligner"
BEST = "best of three losses"
AVERAGE = "Average"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One number of a table.

    Attributes:
        model: row of the paper, such as `bert-base`; `ts-aligner` where the aligner itself is measured.
        teacher: as the paper's tables name it; "" without one.
        variant: what was done, such as `euclid` or `cosine/shuffled-teacher`.
        task: as the paper names it.
        metric: likewise, such as `mcc`.
    """

    model: str
    teacher: str
    variant: str
    task: str
    metric: str


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as the paper prints it.

    Attributes:
        value: in the paper's scale, where an accuracy goes to 100.
        std: printed beside it; None where there is none.
    """

    value: float
    std: float | None = None


# By number, then by seed: what runs gave, in the paper's scale.
Values = Mapping[Key, Mapping[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number that is read off a run.

    Attributes:
        key: of the number.
        options: of `distill` that make the run, beside student, task and seed.
        head: who answers: `student`, `student_aux`, `aligner` or `aligner_aux`.
        student: model that is trained, where the key's is the aligner.
        is_shown: as a row of its own; else it is only what other rows are made of.
    """

    key: Key
    options: tuple[tuple[str, Any], ...] = ()
    head: str = "student"
    student: str = ""
    is_shown: bool = True

    @property
    def trained(self) -> str:
        """The model whose run is read."""
        return self.student or self.key.model


@dataclass(frozen=True, slots=True)
class Made:
    """A finished run.

    Attributes:
        folder: of the run.
        result: that it left.
        cache: folder of the teacher cache that it read.
    """

    folder: Path
    result: RunResult
    cache: Path


# By number and seed.
Runs = Mapping[tuple[Key, int], Made]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test or a count came to.

    Attributes:
        what: was asked, in words.
        source: whose numbers: `paper` or `ours`.
        text: the answer, with its numbers.
    """

    what: str
    source: str
    text: str


Derivation = Callable[[Values], Values]
Question = Callable[[Values], list[tuple[str, str]]]
Analysis = Callable[[Runs], "Analysed"]


@dataclass(frozen=True, slots=True)
class Analysed:
    """What an analysis of finished runs gives.

    Attributes:
        values: numbers of the table.
        notes: what a reader must know, one line each.
        points: for a picture: series name to (x, y, group) triples.
    """

    values: dict[Key, dict[int, float]]
    notes: list[str] = field(default_factory=list[str])
    points: dict[str, list[tuple[float, float, str]]] = field(
        default_factory=dict[str, list[tuple[float, float, str]]]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One table or figure.

    Attributes:
        name: `table02`, `figure03`.
        title: what it shows.
        cells: numbers that are read off runs.
        prints: of the paper's tables, those whose numbers stand beside ours.
        derive: numbers that are made of others, such as averages.
        analyse: numbers that need the runs themselves; None where there are none.
        questions: tests, asked of the paper's numbers and of ours alike; each gives (what, answer) pairs.
        baseline: variant that a gain is counted from.
        claims: what the paper's text says of it, and where its own numbers say otherwise.
        remarks: what is never run here and why.
        plot: row of PLOTS.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    prints: tuple[str, ...] = ()
    derive: tuple[Derivation, ...] = ()
    analyse: Analysis | None = None
    questions: tuple[Question, ...] = ()
    baseline: str = UNDISTILLED
    claims: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    plot: str = "gains"

    @property
    def file_name(self) -> str:
        """Of its report, without an ending: `table2`, `figure3`."""
        kind = self.name.rstrip("0123456789")
        return f"{kind}{int(self.name.removeprefix(kind))}"
