"""A folder that `datasets` made with `save_to_disk`: one split, or a folder a split. pyarrow reads it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.dataset_split import DatasetSplit, sorted_splits
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.reading import Reading, joined

_DICT_NAME = "dataset_dict.json"
_STATE_NAME = "state.json"


def is_saved_dataset(folder: Path) -> bool:
    """Whether the folder was made by `save_to_disk`."""
    return any((folder / name).is_file() for name in (_DICT_NAME, _STATE_NAME))


def read_saved_dataset(folder: Path, task: TaskSpec) -> Reading:
    """Read the columns that a task has, or for a task of any fields all that can be a text.

    Rows are named by their `example_id`, or by split and position: `train-000001`. A label of -1 is none.

    Args:
        folder: of the dataset, or of one of its splits.
        task: what the rows are.

    Raises:
        SourceError: it cannot be read, lacks a column, or has splits or classes that are not the task's.
    """
    media = MediaReader(folder)
    readings = [
        DatasetSplit(path=folder / name, name=name, split=split, part=part, task=task, media=media).read(
            _batches(folder / name)
        )
        for name, split, part in _splits(folder, task)
    ]
    return joined(task, readings, folder)


def _splits(folder: Path, task: TaskSpec) -> list[tuple[str, str, str]]:
    """The folders of the splits, which of ours each is, and which part of the task."""
    if (folder / _DICT_NAME).is_file():
        return sorted_splits(
            str(folder), [str(name) for name in _json(folder / _DICT_NAME).get("splits", [])], task
        )
    found = _json(folder / _STATE_NAME).get("_split")
    (_, split, part) = sorted_splits(str(folder), ["train" if found is None else str(found)], task)[0]
    return [("", split, part)]


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for path in _data_files(folder):
        try:
            yield from pa.ipc.open_stream(pa.memory_map(str(path)))
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SourceError(f"{path} cannot be read: {reason}; save the dataset again") from None


def _data_files(folder: Path) -> list[Path]:
    found = _json(folder / _STATE_NAME)
    try:
        return [folder / Path(item["filename"]).name for item in found["_data_files"]]
    except (KeyError, TypeError):
        raise SourceError(f"{folder / _STATE_NAME} lists no data files; save the dataset again") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}; save the dataset again") from None
    if not isinstance(found, dict):
        raise SourceError(f"{path} is no JSON object; save the dataset again")
    return found
