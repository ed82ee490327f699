"""The error budget."""

import pytest

from schemas.errors import TeacherError
from teacher_cache.limits import ErrorBudget


def test_failures_in_a_row_stop_and_a_success_between_them_does_not() -> None:
    budget = ErrorBudget(2)
    for error in ("bad", None, "bad", None):
        budget.count("a", error)
    budget.count("b", "bad")
    with pytest.raises(TeacherError, match=r"^2 rows in a row failed, the last is c: worse; "):
        budget.count("c", "worse")


def test_zero_never_stops() -> None:
    budget = ErrorBudget(0)
    for _ in range(1000):
        budget.count("a", "bad")
