"""What one run of cache-teacher is asked to do, checked once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.errors import ConfigError

SPLITS = ("train", "validation", "test")
SIGNALS = ("text", "repr", "logprobs")
DEFAULT_TASK = "movie-sentiment"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """The options of one run, as given; None stands for the default of the task, the source or the backend.

    Attributes:
        model: `BACKEND:NAME`.
        out: folder of the cache.
        task: name of the task.
        source: folder or file of the task's original examples.
        prompts: a file of examples in our own format, instead of `source`.
        splits: splits to keep.
        limit: rows to keep over all splits.
        teach: `train` seals the rows of other splits without asking.
        store: signals to keep.
        template: what the teacher is asked, with the names of the task's fields in braces.
        rows_per_shard: rows of each shard but a split's last.
        batch_size: rows asked in one call of the teacher.
        workers: processes that answer.
        max_consecutive_errors: rows in a row that may fail before the run stops; 0 never stops.
        resume: `auto` goes on where there is something, `never` wants an empty folder, `must` a started one.
        retry_errors: ask again for rows that failed.
        reuse: another cache whose answers are copied where they are to the same question.
        dry_run: ask for a few rows, write nothing, print what the whole would take.
        quiet: no progress.
    """

    model: str
    out: Path | None = None
    task: str | None = None
    source: Path | None = None
    prompts: Path | None = None
    splits: tuple[str, ...] = SPLITS
    limit: int | None = None
    teach: Literal["all", "train"] = "all"
    store: tuple[str, ...] | None = None
    template: str | None = None
    rows_per_shard: int = 1000
    batch_size: int | None = None
    workers: int | None = None
    max_consecutive_errors: int = 50
    resume: Literal["auto", "never", "must"] = "auto"
    retry_errors: bool = False
    reuse: Path | None = None
    dry_run: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be right whatever the data are.

        Raises:
            ConfigError: two options exclude each other, or a value is none of those that exist.
        """
        for option in ("model", "out", "task", "source", "prompts", "reuse"):
            _check_given(option, getattr(self, option))
        if self.source is not None and self.prompts is not None:
            raise ConfigError("--source and --prompts both name the examples; give one of them")
        _check_names("--splits", self.splits, SPLITS)
        _check_names("--store", self.store or (), SIGNALS)

    @property
    def num_workers(self) -> int:
        """Processes that answer: as asked, or one for each core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))

    def folder(self, task: str) -> Path:
        """Where the cache stands: as asked, or below `data/shards`."""
        name = self.model.lower().rstrip(":").replace(":", "-").replace("+", "-").replace("/", "-")
        return self.out or Path("data/shards") / task / name.strip("-.")


def _check_given(option: str, value: str | Path | None) -> None:
    if value is not None and not str(value):
        raise ConfigError(f"--{option} is empty; give a value, or leave it out")
    try:
        str(value).encode()
    except UnicodeEncodeError:
        # Names like this cannot be written into the manifest or into config.json.
        raise ConfigError(f"--{option} {str(value)!r} is no UTF-8; give another path") from None


def _check_names(option: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
    if wrong := [name for name in found if name not in known]:
        raise ConfigError(
            f"{option} {','.join(found)}: {wrong[0] or 'an empty name'} is none of {', '.join(known)}"
        )
    if len(set(found)) != len(found):
        raise ConfigError(f"{option} {','.join(found)}: a name stands twice; give each once")
