"""Hateful Memes as its publisher ships it: JSON lines beside a folder `img`.

The test file of the first release has no labels.
"""

import re
from pathlib import Path

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked
from teacher_cache.readers.reading import Reading, joined
from teacher_cache.readers.records import Record, read_records, text_of
from teacher_cache.readers.split_files import SplitFile, files_in, label_of

# The names of the second release come first: its `seen` files are those of the first, the test with labels.
_FILES = (
    SplitFile("train", ("train.jsonl",)),
    SplitFile("validation", ("dev_seen.jsonl", "dev.jsonl")),
    SplitFile("test", ("test_seen.jsonl", "test.jsonl")),
)


def read_hateful_memes(source: Path, task: TaskSpec) -> Reading:
    """Read the texts, labels and paths of the pictures.

    Args:
        source: the folder with `train.jsonl` and `img`.
        task: of memes.

    Raises:
        SourceError: there are no files, or a line is not as it should be.
    """
    media = MediaReader(source)
    return joined(
        task, [_read(path, file, task, media) for path, file in files_in(source, _FILES, task)], source
    )


def _read(path: Path, file: SplitFile, task: TaskSpec, media: MediaReader) -> Reading:
    gathering = Gathering(path=path, task_name=task.name, media=media)
    for place, record in read_records(path):
        where = f"{path}, {place}"
        row = {
            "example_id": _id(where, record),
            "split": file.split,
            "fields": {"text": text_of(where, record, "text")},
            "label": label_of(where, record, file),
            "media": [text_of(where, record, "img")],
        }
        gathering.add(place, checked(where, PromptRow, row))
    return gathering.done()


def _id(where: str, record: Record) -> str:
    # Some copies of the data write the number as a text, with zeros in front.
    identifier = record.get("id")
    if isinstance(identifier, str | int) and re.fullmatch(r"[0-9]{1,18}", str(identifier)):
        return f"meme-{int(identifier):05d}"
    raise SourceError(f"{where}: its 'id' is {identifier!r:.40}, a number is wanted; mend the line")
