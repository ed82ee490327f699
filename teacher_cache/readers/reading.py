"""What reading a source gives."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.example import Example
from schemas.tasks import TaskSpec

# Bytes of media that a source holds itself, by their sha256.
Inline = Mapping[str, bytes | memoryview]


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
    inline: Inline = field(default_factory=dict[str, bytes | memoryview])
    notices: tuple[str, ...] = ()


def joined(task: TaskSpec, readings: Iterable[Reading], root: Path | None, *notices: str) -> Reading:
    """Several files, one after the other, as one source.

    Args:
        task: of all their rows.
        readings: of the files.
        root: folder that media paths are relative to.
        notices: what is to be said beside the files' own, each once.
    """
    parts = list(readings)
    said = [notice for reading in parts for notice in reading.notices]
    return Reading(
        task=task,
        examples=[example for reading in parts for example in reading.examples],
        root=root,
        inline={key: value for reading in parts for key, value in reading.inline.items()},
        notices=tuple(dict.fromkeys([*said, *notices])),
    )
