"""The readers of original files, one row a source, to examples in the files' order.

Formats that may hold any task are beside them: `prompts` has the table of those that `--prompts` takes,
`saved_dataset` reads what the `datasets` library saved, `hub_dataset` what it fetches.
"""

from collections.abc import Callable
from pathlib import Path

from schemas.errors import ConfigError
from schemas.tasks import TaskSpec
from teacher_cache.readers.glue import read_glue
from teacher_cache.readers.hateful_memes import read_hateful_memes
from teacher_cache.readers.instructions import read_instructions
from teacher_cache.readers.llm_adapters import read_llm_adapters
from teacher_cache.readers.mm_imdb import read_mm_imdb
from teacher_cache.readers.questions import read_questions
from teacher_cache.readers.rated_sentences import MOVIE_REVIEWS, PRODUCT_REVIEWS
from teacher_cache.readers.reading import Reading
from teacher_cache.readers.superglue import read_superglue

__all__ = ["READERS", "default_source", "find_reader"]

Reader = Callable[[Path, TaskSpec], Reading]

READERS: dict[str, Reader] = {
    "chain-sum": read_questions,
    "glue": read_glue,
    "hateful-memes": read_hateful_memes,
    "instructions": read_instructions,
    "llm-adapters": read_llm_adapters,
    "mm-imdb": read_mm_imdb,
    "movie-reviews": MOVIE_REVIEWS.read,
    "product-reviews": PRODUCT_REVIEWS.read,
    "superglue": read_superglue,
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
    """Where the task's original files are looked for; `make data` puts there those that it brings."""
    return Path("data/tasks") / (task.source or task.name)
