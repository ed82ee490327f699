"""What one run of cache-teacher is asked to do, checked once."""

import os
import re
from collections.abc import Sequence
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
        out: folder of the cache; its working folder, where the cache goes to an object store.
        upload_to: URL of an object store that the cache goes to; None keeps it in `out`.
        task: name of the task.
        source: folder or file of the task's original examples.
        prompts: a file of examples in our own format, instead of `source`.
        splits: splits to keep.
        limit: rows to keep over all splits.
        teach: `train` seals the rows of other splits without asking.
        store: signals to keep.
        template: what the teacher is asked: a name of the task's templates, or a text with the names of its
            fields in braces.
        system: what stands before the conversation.
        max_tokens: of one generated text.
        sampling_temperature: 0 takes the most probable token.
        num_samples: texts a row.
        generation_seed: of sampling.
        score: `reference`, or a cache whose texts are scored, instead of generating.
        top_k: entries of a token's distribution to keep; -1 is the whole vocabulary.
        top_p: mass after which no more are kept.
        min_k: fewest entries to keep.
        codec: how they are written.
        num_draws: draws a token, for the codec `sampled`.
        option: settings of the backend, `KEY=VALUE`.
        rows_per_shard: rows of each shard but a split's last.
        part: `i/n`, to make every n-th shard from the i-th on; None makes all.
        batch_size: rows asked in one call of the teacher.
        workers: processes that answer; of a cluster, over all its machines.
        engine: `local`, or `ray` for a cluster.
        address: of the cluster; None is the one that `RAY_ADDRESS` names, or one of this machine alone.
        gpus_per_worker: that each process holds; a cluster's alone.
        concurrency: calls of the teacher that are awaited at once.
        base_url: of the service.
        api_key_env: environment variable that holds its key.
        allow_remote_media: fetch pictures that examples name by a URL.
        keep_media: keep the pictures that a teacher makes, beside the shards.
        timeout: seconds without a byte after which a request is given up.
        max_retries: of one request.
        max_requests_per_minute: None is no limit.
        max_tokens_per_minute: prompt and completion.
        max_cost: money after which nothing is asked any more; needs `price_file`.
        price_file: TOML with the prices of models.
        max_consecutive_errors: rows in a row that may fail before the run stops; 0 never stops.
        resume: `auto` goes on where there is something, `never` wants an empty folder, `must` a started one.
        retry_errors: ask again for rows that failed.
        reuse: another cache whose answers are copied where they are to the same question.
        dry_run: ask for a few rows, write nothing, print what the rows still to be asked would take.
        quiet: no progress.
    """

    model: str
    out: Path | None = None
    upload_to: str | None = None
    task: str | None = None
    source: Path | None = None
    prompts: Path | None = None
    splits: tuple[str, ...] = SPLITS
    limit: int | None = None
    teach: Literal["all", "train"] = "all"
    store: tuple[str, ...] | None = None
    template: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    sampling_temperature: float | None = None
    num_samples: int | None = None
    generation_seed: int | None = None
    score: str | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_k: int | None = None
    codec: str | None = None
    num_draws: int | None = None
    option: tuple[str, ...] = ()
    rows_per_shard: int = 1000
    part: str | None = None
    batch_size: int | None = None
    workers: int | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    gpus_per_worker: float | None = None
    concurrency: int | None = None
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    allow_remote_media: bool = False
    keep_media: bool = False
    timeout: float = 120.0
    max_retries: int = 5
    max_requests_per_minute: int | None = None
    max_tokens_per_minute: int | None = None
    max_cost: float | None = None
    price_file: Path | None = None
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
        for option in (
            "model",
            "out",
            "task",
            "source",
            "prompts",
            "reuse",
            "score",
            "base_url",
            "price_file",
            "address",
        ):
            _check_given(option.replace("_", "-"), getattr(self, option))
        if self.source is not None and self.prompts is not None:
            raise ConfigError("--source and --prompts both name the examples; give one of them")
        _check_names("--splits", self.splits, SPLITS)
        _check_names("--store", self.store or (), SIGNALS)
        _check_options(self.option)
        if self.part is not None:
            parse_part(self.part)
        _check_engine(self)
        if self.max_cost is not None and self.price_file is None:
            raise ConfigError("--max-cost needs prices: give --price-file FILE.toml (docs/teachers.md)")

    @property
    def num_workers(self) -> int:
        """Processes that answer: as asked, or one for each core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def options(self) -> dict[str, str]:
        """`--option` as a table."""
        return dict(text.split("=", 1) for text in self.option)

    def folder(self, task: str) -> Path:
        """Where the cache stands: as asked, or below `data/shards`, under the model's own name."""
        backend, _, name = self.model.rstrip(":/").rpartition(":")
        if Path(name).is_absolute() or Path(name).is_dir():
            # The folders above a local model say nothing of it.
            name = Path(name).absolute().name
        name = re.sub(r"[:+/]", "-", f"{backend}-{name}".lower()).strip("-.")
        if self.part is not None:
            name += "-part{}of{}".format(*parse_part(self.part))
        return self.out or Path("data/shards") / task / name


def parse_part(text: str) -> tuple[int, int]:
    """Read `i/n`: the part, from 1, and how many there are.

    Raises:
        ConfigError: it is something else, or there is no such part.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise ConfigError(f"--part {text}: give i/n, the i-th of n parts, such as 1/4 up to 4/4")
    return number, of


def _check_engine(config: CacheConfig) -> None:
    if config.engine == "ray" and config.workers is None:
        raise ConfigError("--engine ray needs --workers N: how many processes answer, over all machines")
    for option in ("address", "gpus_per_worker"):
        if config.engine == "local" and getattr(config, option) is not None:
            raise ConfigError(
                f"--{option.replace('_', '-')} is a cluster's; add --engine ray, or leave it out"
            )


def _check_given(option: str, value: str | Path | None) -> None:
    if value is not None and not str(value):
        raise ConfigError(f"--{option} is empty; give a value, or leave it out")
    try:
        str(value).encode()
    except UnicodeEncodeError:
        # Names like this cannot be written into the manifest or into config.json.
        raise ConfigError(f"--{option} {str(value)!r} is no UTF-8; give another path") from None


def _check_options(options: Sequence[str]) -> None:
    keys = [text.partition("=")[0] for text in options]
    for text, key in zip(options, keys, strict=True):
        if not key or "=" not in text:
            raise ConfigError(f"--option {text}: give KEY=VALUE")
        if keys.count(key) > 1:
            raise ConfigError(f"--option {key} stands twice; give it once")


def _check_names(option: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
    if wrong := [name for name in found if name not in known]:
        raise ConfigError(
            f"{option} {','.join(found)}: {wrong[0] or 'an empty name'} is none of {', '.join(known)}"
        )
    if len(set(found)) != len(found):
        raise ConfigError(f"{option} {','.join(found)}: a name stands twice; give each once")
