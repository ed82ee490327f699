"""The readers of original files, one row a source, to examples in the files' order.

Formats that may hold any task are beside them: `prompts` has the table of those that `--prompts` takes,
`saved_dataset` reads what the `datasets` library saved.
"""

from collections.abc import Callable
from pathlib import Path

from schemas.errors import ConfigError
from schemas.example import Example
from schemas.tasks import TaskSpec
from teacher_cache.readers.questions import read_questions
from teacher_cache.readers.rated_sentences import MOVIE_REVIEWS, PRODUCT_REVIEWS

__all__ = ["READERS", "default_source", "find_reader"]

Reader = Callable[[Path, TaskSpec], list[Example]]

READERS: dict[str, Reader] = {
    "chain-sum": read_questions,
    "movie-reviews": MOVIE_REVIEWS.read,
    "product-reviews": PRODUCT_REVIEWS.read,
}


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
