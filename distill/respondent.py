"""A finished run's student, ready to answer for rows of a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from distill.config import RunConfig
from schemas.errors import SourceError
from schemas.manifest import CacheManifest
from schemas.tasks import TaskSpec

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Respondent:
    """Who answers.

    Attributes:
        run: that made it.
        task: that it learnt.
        student: in evaluation mode, on its device.
        tokenizer: of it.
        source: of the rows, for messages.
        manifest: of the cache that it learnt from, which says how prompts were put.
    """

    run: RunConfig
    task: TaskSpec
    student: nn.Module
    tokenizer: Any
    source: Path
    manifest: CacheManifest

    def column(self, rows: Rows, name: str, done: int) -> list[str]:
        """A text of each row.

        Args:
            rows: of the file.
            name: of the column.
            done: rows before them.

        Raises:
            SourceError: a row has no such text.
        """
        for place, row in enumerate(rows):
            if not isinstance(row.get(name), str):
                held = ", ".join(row) or "nothing"
                raise SourceError(
                    f"--predict {self.source}: row {done + place + 1} has no text in the column {name!r}, "
                    f"only {held}; give each row the fields that the task has"
                )
        return [row[name] for row in rows]


def ids_of(rows: Rows, done: int) -> list[str]:
    """The ids of rows of a file, or their numbers."""
    return [str(row.get("example_id", done + place)) for place, row in enumerate(rows)]
