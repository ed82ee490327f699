"""The readers, one row a source format: original files of a task to examples, in the files' order."""

from collections.abc import Callable
from pathlib import Path

from schemas.errors import ConfigError
from schemas.example import Example
from schemas.tasks import TaskSpec
from teacher_cache.readers.movie_reviews import read_movie_reviews

__all__ = ["READERS", "default_source", "find_reader"]

Reader = Callable[[Path, TaskSpec], list[Example]]

READERS: dict[str, Reader] = {"movie-reviews": read_movie_reviews}


def find_reader(task: TaskSpec) -> Reader:
    """The reader of a task's original files.

    Raises:
        ConfigError: the task has none.
    """
    if task.source is None:
        raise ConfigError(f"--task {task.name} has no original files; give its examples with --prompts FILE")
    return READERS[task.source]


def default_source(task: TaskSpec) -> Path:
    """Where `make data` puts the task's original files."""
    return Path("data/tasks") / (task.source or task.name)
