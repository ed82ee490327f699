"""The plan of a cache: every row that it will hold, in order, with its prompt, cut into shards."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from schemas.errors import SourceError
from schemas.example import Example, Media
from schemas.shard import shard_name
from schemas.tasks import TaskSpec, find_task
from teacher_cache.config import DEFAULT_TASK, SPLITS, CacheConfig
from teacher_cache.media import MediaSource
from teacher_cache.readers import default_source, find_reader
from teacher_cache.readers.hub_dataset import is_hub_dataset, read_hub_dataset
from teacher_cache.readers.prompts import read_prompts
from teacher_cache.readers.reading import Reading
from teacher_cache.readers.saved_dataset import is_saved_dataset, read_saved_dataset
from teacher_cache.scoring import with_answers_to_score
from teacher_cache.selection import in_split_order, limited
from teacher_cache.templates import PLAIN, check_asks, fill, resolve_template


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to come: its name, its split, its examples in order."""

    name: str
    split: str
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cache will hold.

    Attributes:
        task: of all its rows.
        source: name of the folder or file that the examples came from.
        examples: in order, each with its prompt resolved.
        media: gives the bytes of their pictures and sounds.
        template: that the prompts were made with; None where they are the task's fields as they are.
        notices: what the user should know of how the source was read, a line each.
    """

    task: TaskSpec
    source: str
    examples: Sequence[Example]
    media: MediaSource = field(default_factory=MediaSource)
    template: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split, in the order that they are written."""
        return dict(Counter(example.split for example in self.examples))

    def prompts_digest(self) -> str:
        """Digest over ids, splits, prompts, labels, media and answers to score, in order."""
        digest = hashlib.sha256()
        for example in self.examples:
            label = example.label
            row = [example.id, example.split, example.prompt, label.class_ids, label.value, label.target_text]
            media = [[item.path, item.sha256] for item in example.media]
            more = {"messages": len(example.messages), "scored": example.answer_to_score}
            # Only where there are any: caches of before these existed keep their digests.
            extra = [present] if (present := {name: value for name, value in more.items() if value}) else []
            digest.update(json.dumps([*row, media, *extra], ensure_ascii=False).encode() + b"\n")
        return digest.hexdigest()

    def shards(self, rows_per_shard: int) -> list[ShardPlan]:
        """The shards, in order; only a split's last may have fewer rows."""
        shards: list[ShardPlan] = []
        start = 0
        for split, rows in self.splits.items():
            count = -(-rows // rows_per_shard)
            for index in range(count):
                stop = min(start + rows_per_shard, start + rows - index * rows_per_shard)
                shards.append(ShardPlan(shard_name(split, index, count), split, self.examples[start:stop]))
                start = stop
        return shards


def make_plan(config: CacheConfig, default_template: str = PLAIN) -> Plan:
    """Read, choose and order the examples, and write down what the teacher is asked about each.

    Args:
        config: as given.
        default_template: name of the task's template that is used where the options name none.

    Raises:
        ConfigError: the task or the template cannot be right.
        SourceError: the examples cannot be read as asked.
    """
    source, reading = _read(config)
    task = reading.task
    chosen = in_split_order(reading.examples, [split for split in SPLITS if split in config.splits])
    if not chosen:
        raise SourceError(
            f"{source}: no example in the splits {', '.join(config.splits)}; choose others with --splits"
        )
    for example in chosen:
        task.check(example)
    _check_unique(source, chosen)
    template = resolve_template(task, config.template, default_template)
    check_asks(template, task, chosen)
    media = MediaSource(reading.root, reading.inline, config.allow_remote_media)
    asked = _hashed(limited(chosen, config.limit), media)
    asked = [replace(example, prompt=fill(template, task, example)) for example in asked]
    if config.system is not None:
        _check_no_system(asked)
    if config.score is not None:
        asked = with_answers_to_score(asked, task, config.score)
    return Plan(task, source, asked, media, template, (*reading.notices, *_absent(config, source, chosen)))


def _absent(config: CacheConfig, source: str, examples: Iterable[Example]) -> Iterator[str]:
    """Splits that `distill` needs and the task's own files lack: to be heard before a teacher is paid."""
    there = {example.split for example in examples}
    if config.prompts is None:
        for split, use in (("train", "trains on"), ("validation", "reports")):
            if split in config.splits and split not in there:
                yield f"{source}: no rows of the split {split}, which distill {use}"


def _read(config: CacheConfig) -> tuple[str, Reading]:
    if config.prompts is not None:
        return config.prompts.name, read_prompts(config.prompts, config.task, asdict(config))
    task = find_task(config.task or DEFAULT_TASK)
    source = config.source or default_source(task)
    if is_saved_dataset(source):
        return source.absolute().name, read_saved_dataset(source, task)
    if config.source is not None and is_hub_dataset(config.source):
        return str(source), read_hub_dataset(str(source), task)
    return source.absolute().name, find_reader(task)(source, task)


def _check_unique(source: str, examples: Iterable[Example]) -> None:
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise SourceError(f"{source}: the id {example.id} stands twice; give each example its own")
        seen.add(example.id)


def _check_no_system(examples: Iterable[Example]) -> None:
    for example in examples:
        if any(message.role == "system" for message in example.messages):
            raise SourceError(
                f"example {example.id} has a system message and --system gives another; leave one of them out"
            )


def _hashed(examples: Sequence[Example], source: MediaSource) -> list[Example]:
    """Note the digest of each local file, which is read once however many rows show it."""
    digests: dict[str, str] = {}

    def hashed(media: Media) -> Media:
        if media.sha256:
            return media
        if media.path not in digests:
            digests[media.path] = source.sha256(media.path)
        return replace(media, sha256=digests[media.path])

    return [
        replace(example, media=tuple(hashed(media) for media in example.media)) if example.media else example
        for example in examples
    ]
