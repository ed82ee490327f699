"""The tasks, one row each. A new task is one file here and one row below."""

from schemas.errors import ConfigError
from schemas.tasks.chain_sum import CHAIN_SUM
from schemas.tasks.free import FREE
from schemas.tasks.movie_rating import MOVIE_RATING
from schemas.tasks.movie_sentiment import MOVIE_SENTIMENT
from schemas.tasks.product_reviews import PRODUCT_REVIEWS
from schemas.tasks.task import LabelKind, TaskSpec

__all__ = ["TASKS", "LabelKind", "TaskSpec", "find_task"]

TASKS: dict[str, TaskSpec] = {
    task.name: task for task in (MOVIE_SENTIMENT, MOVIE_RATING, PRODUCT_REVIEWS, CHAIN_SUM, FREE)
}


def find_task(name: str) -> TaskSpec:
    """The task of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise ConfigError(f"--task {name}: no such task; choose from {', '.join(sorted(TASKS))}") from None
