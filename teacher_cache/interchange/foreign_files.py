"""Which files an import reads, of which split each is, and their digest."""

from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SourceError
from schemas.files import sha256_of
from schemas.manifest import digest_of
from teacher_cache.config import SPLITS


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """One file; its split is None where its name says nothing."""

    path: Path
    split: str | None = None


def find_files(path: Path, suffixes: tuple[str, ...]) -> list[ForeignFile]:
    """A file, or those of a folder: one a split, as an export has them, or all that there are, by name.

    Raises:
        SourceError: there is none.
    """
    if not path.exists():
        raise SourceError(f"{path} is not there; give the file to import, or a folder of such files")
    if not path.is_dir():
        return [ForeignFile(path)]
    by_split = [
        ForeignFile(file, split)
        for split in SPLITS
        for suffix in suffixes
        if (file := path / f"{split}{suffix}").is_file()
    ]
    found = by_split or [ForeignFile(file) for suffix in suffixes for file in sorted(path.glob(f"*{suffix}"))]
    if not found:
        raise SourceError(f"{path} holds no {' or '.join(suffixes)}; give the file to import, or its folder")
    return found


def digest_of_files(files: list[ForeignFile]) -> str:
    """Of the one file, or over the digests of all, in order."""
    digests = [sha256_of(file.path) for file in files]
    return digests[0] if len(digests) == 1 else digest_of(digests)
