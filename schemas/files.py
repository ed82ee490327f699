"""Files that are either whole or not there, however the process ends."""

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def cache_folder() -> Path:
    """Where what can be made again is kept: ARMADA_CACHE_DIR, else the user's cache folder."""
    if chosen := os.environ.get("ARMADA_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "armada-distill"


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in the folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """Give a temporary name to write to; it becomes `path` in one step, or nothing is left.

    The temporary name is fixed (`.NAME.tmp`), so what a killed process leaves is overwritten by the next.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            # A write that fails does not say where.
            error.filename = error.filename or str(path)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, lower-case hexadecimal, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
