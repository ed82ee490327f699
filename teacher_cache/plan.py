"""The plan of a cache: every row that it will hold, in order, with its prompt, cut into shards."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter

from schemas.errors import ConfigError, SourceError
from schemas.example import Example
from schemas.shard import shard_name
from schemas.tasks import TaskSpec, find_task
from teacher_cache.config import DEFAULT_TASK, SPLITS, CacheConfig
from teacher_cache.media import MediaSource
from teacher_cache.readers import default_source, find_reader
from teacher_cache.readers.jsonl import read_jsonl
from teacher_cache.selection import in_split_order, limited


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
    """

    task: TaskSpec
    source: str
    examples: Sequence[Example]
    media: MediaSource = field(default_factory=MediaSource)

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


def make_plan(config: CacheConfig) -> Plan:
    """Read, choose and order the examples, and write down what the teacher is asked about each.

    Raises:
        ConfigError: the task or the template cannot be right.
        SourceError: the examples cannot be read as asked.
    """
    task, source, examples = _read(config)
    chosen = in_split_order(examples, [split for split in SPLITS if split in config.splits])
    if not chosen:
        raise SourceError(
            f"{source}: no example in the splits {', '.join(config.splits)}; choose others with --splits"
        )
    for example in chosen:
        task.check(example)
    _check_unique(source, chosen)
    template = _checked_template(config.template, task)
    asked = [_with_prompt(example, task, template) for example in limited(chosen, config.limit)]
    return Plan(task, source, asked)


def _read(config: CacheConfig) -> tuple[TaskSpec, str, list[Example]]:
    if config.prompts is not None:
        task, examples = read_jsonl(config.prompts, config.task)
        return task, config.prompts.name, examples
    task = find_task(config.task or DEFAULT_TASK)
    reader = find_reader(task)
    source = config.source or default_source(task)
    return task, source.absolute().name, reader(source, task)


def _check_unique(source: str, examples: Iterable[Example]) -> None:
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise SourceError(f"{source}: the id {example.id} stands twice; give each example its own")
        seen.add(example.id)


def _checked_template(template: str | None, task: TaskSpec) -> str | None:
    if template is None:
        return None
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise ConfigError(f"--template {template!r}: {error}; write a field as {{name}}") from None
    if altered := [name for _, name, form, conversion in fields if form or conversion]:
        raise ConfigError(
            f"--template {template!r}: the field {altered[0]} has a format; write it as {{{altered[0]}}}"
        )
    names = {name for _, name, _, _ in fields}
    if not names or (task.fields and not names <= set(task.fields)):
        wanted = ", ".join(f"{{{name}}}" for name in task.fields)
        raise ConfigError(
            f"--template {template!r}: task {task.name} has the fields {wanted or 'of its rows'}; use them"
        )
    return template


def _with_prompt(example: Example, task: TaskSpec, template: str | None) -> Example:
    if template is None or example.prompt is not None:
        return replace(example, prompt=task.prompt(example))
    try:
        return replace(example, prompt=template.format_map(example.fields))
    except (KeyError, AttributeError, IndexError, ValueError) as error:
        raise SourceError(
            f"example {example.id}: --template {template!r} cannot be filled: {error!r}"
        ) from None
