"""MM-IMDb as its publisher ships it: `split.json`, and in `dataset` a JSON file and a JPEG poster a film."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked
from teacher_cache.readers.reading import Reading
from teacher_cache.readers.records import Record, read_object
from teacher_cache.readers.split_files import missing

SPLIT_NAME, FOLDER_NAME = "split.json", "dataset"
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


def read_mm_imdb(source: Path, task: TaskSpec) -> Reading:
    """Read plot and genres of each film that the split names, and the path of its poster.

    The longest plot of a film is read, where there is none its outline. Genres that are none of the task's 23
    are left out and counted.

    Args:
        source: the folder with `split.json` and `dataset`.
        task: of films.

    Raises:
        SourceError: a file is missing or not as it should be.
    """
    if not (source / SPLIT_NAME).is_file():
        raise SourceError(missing(source, SPLIT_NAME, task))
    gathering = Gathering(path=source, task_name=task.name, media=MediaReader(source))
    others: Counter[str] = Counter()
    for key, identifiers in _films(source / SPLIT_NAME):
        for identifier in identifiers:
            path = source / FOLDER_NAME / f"{identifier}.json"
            film = read_object(path)
            genres = _texts(path, film, "genres")
            others.update(genre for genre in genres if genre not in task.classes)
            row = {
                "example_id": identifier,
                "split": _SPLITS[key],
                "fields": {"plot": _plot(path, film)},
                "label": [genre for genre in dict.fromkeys(genres) if genre in task.classes],
                "media": [f"{FOLDER_NAME}/{identifier}.jpeg"],
            }
            gathering.add(f"{FOLDER_NAME}/{identifier}.json", checked(str(path), PromptRow, row))
    counted = ", ".join(f"{genre} {count}" for genre, count in sorted(others.items()))
    return gathering.done(
        *[f"{source}: genres that are none of the task's were left out: {counted}"][: len(others)]
    )


def _films(path: Path) -> list[tuple[str, list[str]]]:
    found = read_object(path)
    if lacking := [key for key in _SPLITS if key not in found]:
        raise SourceError(
            f"{path}: no {lacking[0]!r}, lists of ids {', '.join(_SPLITS)} are wanted; mend the file"
        )
    films = [(key, _texts(path, found, key)) for key in _SPLITS]
    # An id becomes a file's name: one with a slash could be any file.
    for _, identifiers in films:
        if wrong := [identifier for identifier in identifiers if not identifier.isalnum()]:
            raise SourceError(
                f"{path}: the id {wrong[0][:40]!r} is not made of letters and digits; mend the file"
            )
    return films


def _plot(path: Path, film: Record) -> str:
    plots = [] if film.get("plot") is None else _texts(path, film, "plot")
    outline = film.get("plot outline")
    texts = plots or ([outline] if isinstance(outline, str) else [])
    longest = max(texts, key=len, default="")
    if not longest.strip():
        raise SourceError(
            f"{path}: neither 'plot' nor 'plot outline' has a text; mend the file, or leave the film out"
        )
    return longest


def _texts(path: Path, record: Record, key: str) -> list[str]:
    value: Any = record.get(key)
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, str) for item in value)
    ):
        return list(value)
    raise SourceError(f"{path}: {key!r} is no list of texts; mend the file")
