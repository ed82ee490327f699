"""Sentences that Hutto and Gilbert (ICWSM 2014) had people rate: `id TAB mean rating TAB sentence`.

Sentences that differ only in case and space count as one, the first of them: none is in two splits.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SourceError
from schemas.example import Example, Label
from schemas.tasks import LabelKind, TaskSpec
from teacher_cache.readers.lines import read_lines
from teacher_cache.readers.reading import Reading

LOWEST_CLEAR_RATING = 0.5
HIGHEST_RATING = 4.0
_SPLIT_SEED = 20140601
_SPLIT_ENDS = (("train", 0.7), ("validation", 0.9), ("test", 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedSentences:
    """One file of them.

    Attributes:
        file_name: in the folder that `make data` fills.
        id_pattern: an id of the file; a group `text` in it says which sentences are of one text.
        id_form: what such an id is, in words.
        id_template: an example's id, from the numbers in the file's.
    """

    file_name: str
    id_pattern: re.Pattern[str]
    id_form: str
    id_template: str

    def read(self, source: Path, task: TaskSpec) -> Reading:
        """Read the sentences that the task has a label for, in the file's order.

        A classification leaves out those without a clear rating, a regression has the rating itself.

        Args:
            source: the file, or the folder that holds it.
            task: one with the field `text`.

        Raises:
            SourceError: the file is missing, empty, not UTF-8, or a line is not as it should be.
        """
        path = source / self.file_name if source.is_dir() else source
        seen: set[str] = set()
        examples: list[Example] = []
        for number, line in read_lines(path):
            found, rating, text = self._columns(f"{path}, line {number}", line)
            key, label = normalised(text), _LABELS[task.label_kind](rating)
            if label is not None and key not in seen:
                seen.add(key)
                identifier = self.id_template.format(*map(int, found.groups()))
                # The sentences of one text are alike, so they go to one split.
                split = split_of(found.groupdict().get("text", key))
                examples.append(
                    Example(id=identifier, task=task.name, split=split, fields={"text": text}, label=label)
                )
        return Reading(task=task, examples=examples)

    def _columns(self, where: str, line: str) -> tuple[re.Match[str], float, str]:
        columns = line.split("\t")
        if len(columns) != 3:
            raise SourceError(
                f"{where}: {len(columns)} columns, 3 are wanted (id, mean rating, sentence); mend the line"
            )
        identifier, raw, text = columns
        found = self.id_pattern.fullmatch(identifier)
        if found is None:
            raise SourceError(f"{where}: the id {identifier[:40]!r} is no {self.id_form}; mend it")
        if not text.strip():
            raise SourceError(f"{where}: the sentence is blank; write one, or leave the line out")
        return found, _rating(where, raw), text


MOVIE_REVIEWS = RatedSentences(
    file_name="movieReviewSnippets_GroundTruth.txt",
    id_pattern=re.compile(r"([0-9]{1,18})"),
    id_form="whole number of 18 digits or less",
    id_template="movie-{:05d}",
)
PRODUCT_REVIEWS = RatedSentences(
    file_name="amazonReviewSnippets_GroundTruth.txt",
    id_pattern=re.compile(r"(?P<text>[0-9]{1,9})_([0-9]{1,9})"),
    id_form="number of a review and of a sentence, as 12_3",
    id_template="product-{:03d}-{:02d}",
)


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
    """The split of a normalised sentence or of a text: a hash of it alone, so that no other can move it."""
    digest = hashlib.sha256(f"{_SPLIT_SEED}:{key}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return next(name for name, end in _SPLIT_ENDS if share < end)


def _rating(where: str, raw: str) -> float:
    try:
        rating = float(raw)
    except ValueError:
        raise SourceError(f"{where}: the rating {raw!r} is no number; mend the line") from None
    if not abs(rating) <= HIGHEST_RATING:
        raise SourceError(f"{where}: the rating {raw} is not between -4 and 4; mend the line")
    return rating
