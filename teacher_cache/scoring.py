"""`--score`: given answers whose tokens the teacher scores, of the task itself or of another cache."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from schemas.answer import Answer, reasons_of
from schemas.cache import open_cache
from schemas.errors import ConfigError, SourceError
from schemas.example import Example
from schemas.manifest_file import read_manifest
from schemas.tasks import TaskSpec

REFERENCE = "reference"
# What all services say of a text that was stopped at the limit.
CUT = "length"


def score_identity(score: str) -> str:
    """What a manifest keeps of the option: `reference`, or name and digest of the cache with the texts.

    Raises:
        ManifestError: it is no cache.
    """
    if score == REFERENCE:
        return REFERENCE
    folder = Path(score)
    return f"{folder.absolute().name}@{read_manifest(folder).digest}"


def with_answers_to_score(examples: Sequence[Example], task: TaskSpec, score: str) -> list[Example]:
    """Give each example the answer to score; one without an answer stays without.

    Args:
        examples: to be asked.
        task: of them.
        score: `reference`, or the folder of a complete cache that stores texts; rows are joined by id.

    Raises:
        CacheError: the cache cannot be read.
        ConfigError: the cache stores no texts.
        SourceError: no example has an answer.
    """
    if score == REFERENCE:
        answers, cut = {example.id: reference_answer(example, task) for example in examples}, set[str]()
    else:
        answers, cut = _texts(Path(score))
    if not any(answers.get(example.id) for example in examples):
        raise SourceError(
            f"--score {score}: it has no answer to any of the {len(examples)} examples; "
            "give a source with labels, or a cache of the same examples"
        )
    return [
        replace(example, answer_to_score=answers.get(example.id) or None, answer_was_cut=example.id in cut)
        for example in examples
    ]


def noting_cuts(examples: Sequence[Example], answers: Sequence[Answer]) -> list[Answer]:
    """Say of each scored answer that was cut short why it ended, so that no student learns to stop there."""
    return [
        replace(answer, finish_reason=CUT) if example.answer_was_cut and answer.error is None else answer
        for example, answer in zip(examples, answers, strict=True)
    ]


def reference_answer(example: Example, task: TaskSpec) -> str | None:
    """The right answer as a text: the reference, the classes' names, or the number; None without a label."""
    label = example.label
    if label.target_text is not None:
        return label.target_text
    if label.value is not None:
        return f"{label.value:g}"
    return ", ".join(task.classes[index] for index in label.class_ids) or None


def _texts(folder: Path) -> tuple[Mapping[str, str | None], set[str]]:
    """The first text of every row of a cache, and the rows where it was cut short."""
    cache = open_cache(folder)
    if "text" not in cache.manifest.request.store:
        stored = ", ".join(cache.manifest.request.store) or "nothing"
        raise ConfigError(
            f"--score {folder}: it stores {stored}, texts are wanted; give one made with --store text"
        )
    texts: dict[str, str | None] = {}
    cut: set[str] = set()
    for split in cache.manifest.request.splits:
        for _, shard in cache.shards(split):
            with shard:
                table = shard.read(columns=["example_id", "teacher_text", "finish_reason"])
            for name, said, reason in zip(*(column.to_pylist() for column in table.columns), strict=True):
                texts[name] = said[0] if said else None
                if said and reasons_of(reason, len(said))[0] == CUT:
                    cut.add(name)
    return texts, cut
