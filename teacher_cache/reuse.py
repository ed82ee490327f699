"""Answers to the same question from another cache, complete or not, so that nobody pays for them twice."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from schemas.answer import Answer
from schemas.errors import MismatchError
from schemas.example import Example
from schemas.manifest import CacheManifest, digest_of
from schemas.manifest_file import differences, read_manifest
from schemas.rows import decode
from schemas.shard import arrow_schema, open_shard
from teacher_cache.folder import JOURNAL_NAME
from teacher_cache.journal import Journal
from teacher_cache.plan import ShardPlan
from teacher_cache.writer import CacheWriter


def check_reusable(other: Path, ours: CacheManifest) -> None:
    """Refuse a cache to copy from before anything is made for the new one.

    Raises:
        ManifestError: it is no cache.
        MismatchError: it was made by another teacher, or with other parameters or signals.
    """
    _check_same_teacher(other, ours, read_manifest(other))


def copy_answers(other: Path, writer: CacheWriter, missing: Iterable[tuple[ShardPlan, Sequence[int]]]) -> int:
    """Copy answers of another cache into the journals; rows that failed there are left to be asked.

    Args:
        other: folder of the other cache; it is only read.
        writer: of this cache.
        missing: shards of this cache, each with the positions of the rows without an answer.

    Returns:
        Rows copied.

    Raises:
        MismatchError: the other cache was made by another teacher, or with other parameters or signals.
    """
    manifest = read_manifest(other)
    _check_same_teacher(other, writer.manifest, manifest)
    wanted: dict[str, list[tuple[ShardPlan, Example]]] = {}
    for shard, positions in missing:
        for example in (shard.examples[position] for position in positions):
            key = _question(example, example.prompt, scored=_scores(manifest))
            wanted.setdefault(key, []).append((shard, example))
    return sum(
        _copy_batch(batch, writer, wanted, scored=_scores(manifest)) for batch in _batches(other, manifest)
    )


def _scores(manifest: CacheManifest) -> bool:
    return "score" in manifest.request.parameters


def _check_same_teacher(folder: Path, ours: CacheManifest, theirs: CacheManifest) -> None:
    for name, here, there in differences(_asked(ours), _asked(theirs)):
        raise MismatchError(
            f"--reuse {folder}: {name} is {there} there, {here} here, so its answers are not ours; "
            "leave --reuse out, or ask the same teacher in the same way"
        )


def _asked(manifest: CacheManifest) -> dict[str, object]:
    request = manifest.request
    # A template shows in the prompt itself, which is compared row by row.
    parameters = {name: value for name, value in request.parameters.items() if name != "template"}
    return {
        "teacher": manifest.teacher.model_dump(),
        "store": request.store,
        "codec": request.codec,
        "parameters": parameters,
    }


def _question(example: Example, prompt: str | None, *, scored: bool) -> str:
    """Digest of what was asked; pictures named by a URL have no digest of their own.

    A shard does not hold the answer that was scored: it follows from the label, or from the id and the cache
    that the request names.
    """
    label = example.label
    # A shard rounds the value to float32.
    value = None if label.value is None else f"{label.value:.6g}"
    answer = [example.id, label.class_ids, value, label.target_text] if scored else []
    return digest_of([prompt, [media.sha256 or media.path for media in example.media], answer])


def _batches(folder: Path, manifest: CacheManifest) -> Iterator[pa.RecordBatch]:
    for file in manifest.files:
        with open_shard(folder, file, manifest) as shard:
            yield from shard.iter_batches()
    for path in sorted((folder / JOURNAL_NAME).glob("*.journal")):
        journal = Journal(path, arrow_schema(manifest), manifest.fingerprint)
        yield from (batch for _, batch in journal.frames())


def _copy_batch(
    batch: pa.RecordBatch,
    writer: CacheWriter,
    wanted: dict[str, list[tuple[ShardPlan, Example]]],
    *,
    scored: bool,
) -> int:
    found: list[tuple[ShardPlan, Example, Answer]] = []
    for row in decode(batch):
        if row.answer is not None and row.answer.error is None:
            places = wanted.pop(_question(row.example, row.prompt, scored=scored), ())
            # It was paid for there: the usage of a row is what its own cache was charged.
            answer = replace(row.answer, usage=None)
            found.extend((shard, example, answer) for shard, example in places)
    found.sort(key=lambda item: item[0].name)
    for _, group in groupby(found, key=lambda item: item[0].name):
        shards, examples, answers = zip(*group, strict=True)
        writer.record([(shards[0], examples, answers)])
    return len(found)
