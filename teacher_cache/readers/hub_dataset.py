"""A dataset of the Hugging Face hub, `owner/name`, `owner/name:config` or either with `@revision` behind.

Fetched by the `datasets` library where the user gives such a name, and never else. It runs no dataset's code.
"""

import re
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.dataset_split import DatasetSplit, sorted_splits
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.reading import Reading, joined

_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?::([\w.-]+))?(?:@([\w./-]+))?")


def is_hub_dataset(source: Path) -> bool:
    """Whether a source is to be fetched: `owner/name`, where neither it nor a folder `owner` stands here."""
    found = _NAME.fullmatch(str(source))
    return found is not None and not (source.exists() or Path(found[1].partition("/")[0]).exists())


def read_hub_dataset(name: str, task: TaskSpec) -> Reading:
    """Read the columns that a task has, as of a saved dataset.

    Args:
        name: on the hub.
        task: what the rows are.

    Raises:
        ConfigError: the library is not installed.
        SourceError: it cannot be had, lacks a column, or has splits or classes that are not the task's.
    """
    splits = _fetched(name)
    media = MediaReader(None)
    readings = [
        DatasetSplit(path=Path(name), name=own, split=split, part=part, task=task, media=media).read(
            # Rows as they are stored: a picture stays a file, a class its number.
            splits[own].with_format(None).data.table.cast(splits[own].features.arrow_schema).to_batches()
        )
        for own, split, part in sorted_splits(name, list(splits), task)
    ]
    return joined(task, readings, None)


def _fetched(name: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            f"--source {name} is a name on the hub, for which the package datasets is wanted: "
            'pip install "armada-distill[hub]"; or give a local folder'
        ) from None
    found = _NAME.fullmatch(name)
    assert found is not None, "is_hub_dataset says so"
    path, config, revision = found.groups()
    try:
        return datasets.load_dataset(path, config, revision=revision)
    # It raises whatever the hub, the network, the disk and a file of any format bring.
    except Exception as error:  # noqa: BLE001
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise SourceError(
            f"--source {name}: no such folder here, and the hub gave no dataset of that name ({reason}); "
            "give a folder, or owner/name:config"
        ) from None
