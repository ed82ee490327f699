"""Reading: the stream beside a bare scan and `datasets`, a resume at 90 % of an epoch, and checkpoints.

One cache of 100,000 rows with 384 float16 values, 24 words and a label each, in batches of 32, on one thread.
The bare scan reads ids, labels, texts and teacher arrays of every row group in order, and drops them. Our
reading gives each batch of the shuffled order its labels, its rows of the teacher array, and its texts as the
views of the token file that training reads in their place. The stream is that, padded and made tensors.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.measure import ROOT, Claim, claim_of, seconds_of
from distill.config import resolve
from distill.material import Material, gather
from distill.session import Every, Session
from distill.student import load_tokenizer
from distill.trainer import fit
from schemas.cache import TeacherCache, open_cache
from schemas.manifest import CacheManifest, Request, ShardFile, TeacherIdentity, write_manifest
from schemas.shard import arrow_schema, seal, shard_name
from schemas.tasks import find_task

STUDENT = ROOT / "data/models/minilm"
COLUMNS = ["example_id", "class_ids", "fields", "teacher_repr"]
_ROWS, _MANY, _WIDTH, _ROUNDS = 100_000, 1_000_000, 384, 3


def run() -> list[Claim]:
    """Measure the claims, the ways of reading in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ARMADA_CACHE_DIR"] = str(folder / "own")
        cache = write_cache(folder / "cache", _ROWS, _WIDTH, words=24)
        material = _material(cache)
        ways = (
            lambda: _scan(cache),
            lambda: _read(material),
            lambda: _stream(material),
            lambda: _datasets(cache),
        )
        rounds = [tuple(way() for way in ways) for _ in range(_ROUNDS)]
        detail = ", ".join(
            f"{what} {max(speeds):,.0f} rows/s"
            for what, speeds in zip(
                ("scan", "reading", "stream", "datasets"), zip(*rounds, strict=True), strict=True
            )
        )
        many = write_cache(folder / "many", _MANY, 8, words=3)
        _material(many)
        return [
            claim_of(
                "rows a second of reading, shuffled, by those of a bare pyarrow scan in order",
                [ours / scan for scan, ours, _, _ in rounds],
                at_least=0.8,
                detail=detail,
            ),
            claim_of(
                "rows a second of the stream by those of `datasets`, streaming and shuffled",
                [ours / theirs for _, _, ours, theirs in rounds],
                at_least=5,
            ),
            claim_of(
                "seconds to the first batch at 90 % of an epoch of a million rows, opening it all included",
                [_first_batch(many) for _ in range(_ROUNDS)],
                at_most=1,
            ),
            claim_of(
                "seconds of a checkpoint of MiniLM, moments and best weights included, by the 60 between two",
                [_checkpoint(cache, folder / "run") / 60 for _ in range(_ROUNDS)],
                at_most=0.05,
            ),
        ]


def _scan(cache: TeacherCache) -> float:
    def scan() -> None:
        for _, shard in cache.shards("train"):
            for group in range(shard.num_row_groups):
                shard.read_row_group(group, columns=COLUMNS, use_threads=False)

    return _ROWS / seconds_of(scan)


def _read(material: Material) -> float:
    stream, representations = material.train, material.train.representations
    assert representations is not None

    def read() -> None:
        for window, batches in stream.order.batches(0, 0):
            groups = sorted(window.groups)
            rows, values = stream.split.rows_of(groups), representations.window(groups)
            for rows_B in batches:
                stream.tokens.rows("input_ids", rows_B)
                _ = stream.labels[rows_B], values[np.searchsorted(rows, rows_B)]

    return material.num_rows["train"] / seconds_of(read)


def _stream(material: Material) -> float:
    rows = material.num_rows["train"]
    return rows / seconds_of(lambda: [None for _ in material.train.batches(0, 0)])


def _datasets(cache: TeacherCache) -> float:
    import datasets

    files = [str(cache.folder / file.name) for file in cache.manifest.files_of("train")]
    rows = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, columns=COLUMNS)
    batches: Iterator[dict] = iter(rows.shuffle(seed=0, buffer_size=4096).iter(batch_size=32))
    next(batches)
    wanted = 10_000 // 32
    return wanted * 32 / seconds_of(lambda: [next(batches) for _ in range(wanted)])


def _material(cache: TeacherCache) -> Material:
    given = {"task": "movie-sentiment", "student": str(STUDENT), "standardise": False}
    run = resolve(given, "audio")
    tokenizer = load_tokenizer(run.student)
    return gather(run, cache, find_task(run.task), tokenizer, torch.device("cpu"))


def _first_batch(cache: TeacherCache) -> float:
    load_tokenizer(str(STUDENT))
    started = time.perf_counter()
    stream = _material(cache).train
    next(stream.batches(0, 0, int(0.9 * stream.order.num_batches(0, 0))))
    return time.perf_counter() - started


def _checkpoint(cache: TeacherCache, folder: Path) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    options = {"method": "undistilled", "epochs": 1, "limit_train": 96, "max_length": 32, "batch_size": 32}
    run = resolve(
        {"task": "movie-sentiment", "student": str(STUDENT), "protocol": "paper-dev", **options}, "audio"
    )
    seconds = fit(run, cache, folder, quiet=True, session=Session(every=Every(steps=1))).seconds
    return seconds["checkpoint"] / 3


def write_cache(folder: Path, rows: int, width: int, words: int) -> TeacherCache:
    """A cache of random words, labels and representations, and a validation split of 64 rows."""
    folder.mkdir(parents=True)
    manifest = CacheManifest(
        teacher=TeacherIdentity(
            backend="none", name="random", revision="1", modality="audio", repr_dim=width
        ),
        request=Request(
            task="movie-sentiment",
            source="random",
            splits={"train": rows, "validation": 64},
            prompts_digest=f"{rows}-{width}",
            rows_per_shard=50_000,
        ),
    )
    files: list[ShardFile] = []
    for split, count in manifest.request.splits.items():
        starts = range(0, count, 50_000)
        for index, start in enumerate(starts):
            table = _table(manifest, split, start, min(50_000, count - start), words)
            files.append(seal(folder, shard_name(split, index, len(starts)), split, table))
    write_manifest(folder, manifest.model_copy(update={"files": tuple(files)}))
    return open_cache(folder, verify=False)


def _table(manifest: CacheManifest, split: str, start: int, rows: int, words: int) -> pa.Table:
    random, width = np.random.default_rng(start), manifest.teacher.repr_dim or 0
    vocabulary = np.array(["a", "film", "that", "is", "never", "dull", "always", "warm", "poor", "funny"])
    texts = [" ".join(one) for one in random.choice(vocabulary, (rows, words))]
    schema = arrow_schema(manifest)
    element = schema.field("teacher_repr").type.value_type.to_pandas_dtype()
    values = random.standard_normal(rows * width, np.float32).astype(element)
    places = pa.array(np.arange(rows + 1, dtype=np.int32))
    names = pa.array(["text"] * rows)
    fields = pa.StructArray.from_arrays([names, pa.array(texts)], names=["name", "text"])
    columns = {
        "example_id": pa.array([f"{split}-{start + row}" for row in range(rows)]),
        "task": pa.array(["movie-sentiment"] * rows),
        "split": pa.array([split] * rows),
        "prompt": pa.array(texts),
        "fields": pa.ListArray.from_arrays(places, fields),
        "class_ids": pa.ListArray.from_arrays(
            places, pa.array(random.integers(2, size=rows, dtype=np.int32))
        ),
        "teacher_repr": pa.FixedSizeListArray.from_arrays(pa.array(values), width),
        "media": pa.array([[]] * rows, schema.field("media").type),
    }
    filled = [
        columns[name].cast(schema.field(name).type) if name in columns else pa.nulls(rows, kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(filled, schema=schema)
