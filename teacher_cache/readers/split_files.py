"""The files of a data set as its publisher names them: which is there, and which split it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from schemas.errors import SourceError
from schemas.tasks import TaskSpec


@dataclass(frozen=True, slots=True)
class SplitFile:
    """A file that may be there.

    Attributes:
        split: of its rows.
        names: that it may have; the first that is there is read.
        part: of the task's reported rows; empty for none.
    """

    split: Literal["train", "validation", "test"]
    names: tuple[str, ...]
    part: str = ""

    def row_id(self, number: int) -> str:
        """The id of a row that has none of its own, by its place in the file, from 1."""
        name = f"{self.split}-{number:06d}"
        return f"{self.part}/{name}" if self.part else name


def own_folder(source: Path, name: str) -> Path:
    """The folder of one data set: the source itself, or the one of that name in it."""
    return source / name if (source / name).is_dir() else source


def files_in(folder: Path, wanted: Sequence[SplitFile], task: TaskSpec) -> list[tuple[Path, SplitFile]]:
    """Those that are there.

    Raises:
        SourceError: there is none.
    """
    found = [
        (path, file)
        for file in wanted
        for path in [folder / name for name in file.names if (folder / name).is_file()][:1]
    ]
    if not found:
        names = ", ".join(" or ".join(file.names) for file in wanted)
        raise SourceError(missing(folder, names, task))
    return found


def label_of(where: str, record: Mapping[str, Any], file: SplitFile) -> Any:
    """The label of an object, which a row of a test file need not have.

    Raises:
        SourceError: there is none, and this is no test file.
    """
    if "label" not in record and file.split != "test":
        raise SourceError(f"{where}: no 'label', which a row of {file.split} has; mend the line")
    # True and False are names of classes, which JSON writes as truth values.
    label = record.get("label")
    return str(label) if isinstance(label, bool) else label


def missing(folder: Path, names: str, task: TaskSpec) -> str:
    """One line for files that are not where they should be."""
    state = "has none of" if folder.is_dir() else "is no folder with"
    return (
        f"{folder} {state} {names}, the files of {task.name}; give their folder as --source "
        "(docs/sources.md says where they come from)"
    )
