"""When to stop asking."""

from schemas.errors import TeacherError


class ErrorBudget:
    """Failures in a row: one bad row must not end a run, a dead teacher must not fill a cache with errors.

    Args:
        max_consecutive: failures in a row that stop the run; 0 never stops.
    """

    def __init__(self, max_consecutive: int) -> None:
        self._max_consecutive = max_consecutive
        self._consecutive = 0

    def count(self, example_id: str, error: str | None) -> None:
        """Take note of one answered row.

        Raises:
            TeacherError: too many rows in a row have failed.
        """
        self._consecutive = 0 if error is None else self._consecutive + 1
        if error is not None and self._consecutive == self._max_consecutive:
            raise TeacherError(
                f"{self._consecutive} rows in a row failed, the last is {example_id}: {error}; mend the "
                "cause, then run the same command with --retry-errors, or raise --max-consecutive-errors"
            )
