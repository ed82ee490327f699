from types import SimpleNamespace
from typing import Any, cast

import pytest

from distill.config import resolve
from distill.remaining import Remaining


def left(schedule: str, rows: int, seconds: dict[str, float]) -> float | None:
    """Of two epochs of 100 rows, so many rows of all passes being done."""
    options = {"task": "movie-sentiment", "student": "somewhere", "schedule": schedule, "epochs": 2}
    training = SimpleNamespace(
        run=resolve(options, "audio"),
        place=SimpleNamespace(rows=rows),
        clock=SimpleNamespace(seconds=seconds),
    )
    return Remaining(cast(Any, training), 100)()


def test_each_kind_of_pass_has_its_own_pace() -> None:
    # Aligner 100 rows in 1 s, student 50 rows in 10 s: 50 and 100 rows at 0.2 s, 100 rows at 0.01 s.
    assert left("alternating", 150, {"aligner": 1.0, "student": 10.0}) == pytest.approx(31)
    assert left("joint", 50, {"aligner+student": 10.0}) == pytest.approx(30)


def test_what_is_done_beside_the_passes_counts() -> None:
    seconds = {"aligner+student": 10.0, "data": 1.0, "selection": 1.5, "setup": 99.0}
    assert left("joint", 50, seconds) == pytest.approx(30 * 1.25)


def test_nobody_can_say_before_the_student_was_timed() -> None:
    assert left("alternating", 60, {"aligner": 1.0}) is None
    assert left("pretrained", 200, {"aligner": 1.0}) is None
    assert left("alternating", 0, {}) is None


def test_nothing_is_left_at_the_end() -> None:
    assert left("alternating", 400, {"aligner": 1.0, "student": 10.0}) == 0
