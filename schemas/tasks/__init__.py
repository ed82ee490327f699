"""The tasks, one row each. A new task or family of tasks is one file here and one row below."""

from difflib import get_close_matches

from schemas.errors import ConfigError
from schemas.tasks.chain_sum import CHAIN_SUM
from schemas.tasks.free import FREE
from schemas.tasks.glue import GLUE
from schemas.tasks.hateful_memes import HATEFUL_MEMES
from schemas.tasks.instructions import INSTRUCTIONS
from schemas.tasks.mm_imdb import MM_IMDB
from schemas.tasks.movie_rating import MOVIE_RATING
from schemas.tasks.movie_sentiment import MOVIE_SENTIMENT
from schemas.tasks.product_reviews import PRODUCT_REVIEWS
from schemas.tasks.reasoning import REASONING
from schemas.tasks.superglue import SUPERGLUE
from schemas.tasks.task import LabelKind, TaskSpec

__all__ = ["TASKS", "LabelKind", "TaskSpec", "find_task", "like"]

TASKS: dict[str, TaskSpec] = {
    task.name: task
    for task in (
        MOVIE_SENTIMENT,
        MOVIE_RATING,
        PRODUCT_REVIEWS,
        CHAIN_SUM,
        *GLUE,
        *SUPERGLUE,
        *REASONING,
        *INSTRUCTIONS,
        MM_IMDB,
        HATEFUL_MEMES,
        FREE,
    )
}


def like(name: str) -> str:
    """Names of tasks that may have been meant by a name that is none: those that have it in them first."""
    near = [task for task in TASKS if name in task] or get_close_matches(name, TASKS, 5) or list(TASKS)
    return ", ".join(sorted(near))


def find_task(name: str) -> TaskSpec:
    """The task of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise ConfigError(f"--task {name}: no such task; choose from {like(name)}") from None
