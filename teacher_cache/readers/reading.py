"""What reading a source gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.example import Example
from schemas.tasks import TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A source that was read.

    Attributes:
        task: of all its rows.
        examples: in the source's order.
        root: folder that media paths are relative to; None where there is none.
        inline: bytes of media that the source holds itself, by sha256.
        notices: what the user should know of how it was read, a line each.
    """

    task: TaskSpec
    examples: list[Example]
    root: Path | None = None
    inline: Mapping[str, bytes | memoryview] = field(default_factory=dict[str, bytes | memoryview])
    notices: tuple[str, ...] = ()
