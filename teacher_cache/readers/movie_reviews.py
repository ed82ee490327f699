"""The movie-review sentences of Hutto and Gilbert (ICWSM 2014): `id TAB mean rating TAB sentence`.

Sentences that differ only in case and space go to one split, and the first of them is kept: none is in two.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from schemas.errors import SourceError
from schemas.example import Example, Label
from schemas.tasks import LabelKind, TaskSpec
from teacher_cache.readers.lines import read_lines

FILE_NAME = "movieReviewSnippets_GroundTruth.txt"
LOWEST_CLEAR_RATING = 0.5
HIGHEST_RATING = 4.0
_MAX_DIGITS = 18
_SPLIT_SEED = 20140601
_SPLIT_ENDS = (("train", 0.7), ("validation", 0.9), ("test", 1.0))


def read_movie_reviews(source: Path, task: TaskSpec) -> list[Example]:
    """Read the sentences that the task has a label for, in the file's order.

    A classification leaves out those without a clear rating, a regression has the rating itself.

    Args:
        source: the file, or the folder that holds it.
        task: `movie-sentiment`, `movie-rating`, or a task with the same field.

    Raises:
        SourceError: the file is missing, empty, not UTF-8, or a line is not as it should be.
    """
    path = source / FILE_NAME if source.is_dir() else source
    seen: set[str] = set()
    examples: list[Example] = []
    for number, line in read_lines(path):
        identifier, rating, text = _columns(path, number, line)
        key, label = normalised(text), _LABELS[task.label_kind](rating)
        if label is not None and key not in seen:
            seen.add(key)
            examples.append(
                Example(
                    id=identifier, task=task.name, split=split_of(key), fields={"text": text}, label=label
                )
            )
    return examples


def _class_of(rating: float) -> Label | None:
    return Label(class_ids=(int(rating > 0),)) if abs(rating) >= LOWEST_CLEAR_RATING else None


_LABELS: dict[LabelKind, Callable[[float], Label | None]] = {
    LabelKind.SINGLE: _class_of,
    LabelKind.REGRESSION: lambda rating: Label(value=rating),
}


def normalised(text: str) -> str:
    """A sentence without what case and space add to it."""
    return " ".join(text.casefold().split())


def split_of(key: str) -> str:
    """The split of a normalised sentence: a hash of it alone, so that no other sentence can move it."""
    digest = hashlib.sha256(f"{_SPLIT_SEED}:{key}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return next(name for name, end in _SPLIT_ENDS if share < end)


def _columns(path: Path, number: int, line: str) -> tuple[str, float, str]:
    columns = line.split("\t")
    where = f"{path}, line {number}"
    if len(columns) != 3:
        raise SourceError(
            f"{where}: {len(columns)} columns, 3 are wanted (id, mean rating, sentence); mend the line"
        )
    identifier, raw, text = columns
    if not identifier.isdecimal() or len(identifier) > _MAX_DIGITS:
        raise SourceError(
            f"{where}: the id {identifier[:40]!r} is no whole number of {_MAX_DIGITS} digits or less; mend it"
        )
    if not text.strip():
        raise SourceError(f"{where}: the sentence is blank; write one, or leave the line out")
    try:
        rating = float(raw)
    except ValueError:
        raise SourceError(f"{where}: the rating {raw!r} is no number; mend the line") from None
    if not abs(rating) <= HIGHEST_RATING:
        raise SourceError(f"{where}: the rating {raw} is not between -4 and 4; mend the line")
    return f"movie-{int(identifier):05d}", rating, text
