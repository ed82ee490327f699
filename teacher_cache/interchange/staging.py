"""A folder that is either whole or not there, as `schemas.files` has it for a file."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import CacheError, LockedError
from schemas.files import sync_folder
from teacher_cache.lock import writer_lock


def check_free(out: Path) -> None:
    """Refuse to write where something stands.

    Raises:
        CacheError: it is a file, or a folder with something in it.
    """
    if out.is_dir():
        if held := sorted(path.name for path in out.iterdir()):
            raise CacheError(f"--out {out} is not empty, it holds {held[0]}; give a new folder")
    elif out.exists() or out.is_symlink():
        raise CacheError(f"--out {out} is there and no folder; give a new folder")


@contextmanager
def whole_folder(out: Path) -> Generator[Path]:
    """Give a folder to write to, beside `out`, which becomes `out` in one step, or nothing is left.

    Its name is fixed (`.NAME.partial`), so what a killed process leaves is deleted by the next.

    Raises:
        CacheError: `out` is not free.
        LockedError: another process writes to the same folder.
    """
    check_free(out)
    out = out.absolute()
    partial = out.with_name(f".{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with writer_lock(partial):
            _empty(partial)
            yield partial
            _finish(partial, out)
    except BaseException as error:
        if not isinstance(error, LockedError):
            shutil.rmtree(partial, ignore_errors=True)
        raise


def _empty(folder: Path) -> None:
    """Delete all but the lock, which is ours."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _finish(partial: Path, out: Path) -> None:
    (partial / ".lock").unlink()
    sync_folder(partial)
    check_free(out)
    # An empty folder of that name is replaced.
    partial.replace(out)
    sync_folder(out.parent)
