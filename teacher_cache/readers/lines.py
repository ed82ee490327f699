"""Text files line by line, with the line's number in every complaint."""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from schemas.errors import SourceError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Lines of a UTF-8 file with their numbers from 1; `\n` and `\r\n` both end a line.

    Raises:
        SourceError: the file is missing, empty, or not UTF-8.
    """
    number = 0
    with open_source(path) as file:
        for number, raw in enumerate(file, 1):
            yield number, _decoded(path, number, raw)
    if number == 0:
        raise SourceError(f"{path} is empty, at least one example is wanted")


def read_text(path: Path) -> str:
    """A UTF-8 file whole.

    Raises:
        SourceError: the file is missing or not UTF-8.
    """
    with open_source(path) as file:
        raw = file.read()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{path}, line {number}: byte {raw[error.start]:#04x} is not UTF-8; convert the file to UTF-8"
        ) from None


def open_source(path: Path) -> BufferedReader:
    """Open a file of examples.

    Raises:
        SourceError: it is missing, a folder, or not ours to read.
    """
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        advice = "give a path that is (`make data` brings the default one)"
        raise SourceError(f"{path} is not there; {advice}") from None
    except IsADirectoryError:
        raise SourceError(f"{path} is a folder, a file is wanted") from None
    except PermissionError:
        raise SourceError(f"{path} cannot be read: permission denied; make it readable") from None
    except OSError as error:  # a name that is too long, a ring of links
        raise SourceError(f"{path} cannot be read: {error.strerror}; give another path") from None


def _decoded(path: Path, number: int, raw: bytes) -> str:
    # Only the first line may carry the mark that some editors put before UTF-8.
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}, line {number}: byte {raw[error.start]:#04x} is not UTF-8; convert the file to UTF-8"
        ) from None
    return text.rstrip("\r\n")
