"""Reading: the stream beside a bare scan and `datasets`, a resume at 90 % of an epoch, and checkpoints.

One cache of 100,000 rows with 384 float16 values, 24 words and a label each, in batches of 32, everything on
one thread, the ways in turn. The bare scan opens the files as pyarrow does by itself, reads the four columns
of every row group in order, and drops them. Our reading gives each batch of a shuffled order its ids, labels,
texts and rows of the teacher array. As training reads, the texts are views of the token file, which is made
once. The stream is that, padded and made tensors. `datasets` shuffles through a buffer of 4,096 rows and
gives Arrow tables, the quickest of its formats. Every way reads the whole epoch, and gives every row of it.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from benchmarks.measure import ROOT, Claim, claim_of, seconds_of
from distill.config import resolve
from distill.material import Material, gather
from distill.order import Order
from distill.pretrained import load_tokenizer
from distill.processes import ALONE, Processes
from distill.representations import Pick, Representations
from distill.session import Every, Session
from distill.shards import Stream
from distill.split import Split
from distill.trainer import fit
from schemas.cache import TeacherCache, open_cache
from schemas.manifest import CacheManifest, Request, ShardFile, TeacherIdentity
from schemas.manifest_file import write_manifest
from schemas.shard import arrow_schema, seal, shard_name
from schemas.tasks import find_task

STUDENT = ROOT / "data/models/minilm"
OTHERS = ["example_id", "class_ids", "fields"]
COLUMNS = [*OTHERS, "teacher_repr"]
_ROWS, _MANY, _WIDTH, _ROUNDS = 100_000, 1_000_000, 384, 15


def run() -> list[Claim]:
    """Measure the claims, the ways of reading in turn."""
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ARMADA_CACHE_DIR"] = str(folder / "own")
        cache = write_cache(folder / "cache", _ROWS, _WIDTH, words=24)
        material = material_of(cache)
        ways = {
            "scan": lambda: _scan(cache),
            "reading": lambda: _read(material),
            "reading for training": lambda: _read_for_training(material),
            "stream": lambda: [None for _ in material.train.batches(0, 0)],
        }
        rounds = [{name: _ROWS / seconds_of(way) for name, way in ways.items()} for _ in range(_ROUNDS)]
        peer = [_ROWS / seconds_of(lambda: _datasets(cache)) for _ in range(3)]
        many = write_cache(folder / "many", _MANY, 8, words=3)
        material_of(many)
        return [
            *_speeds(rounds, peer),
            claim_of(
                "seconds to the first batch at 90 % of an epoch of a million rows, opening it all included",
                [_first_batch(many) for _ in range(3)],
                at_most=1,
            ),
            claim_of(
                "seconds of a checkpoint of MiniLM, moments and best weights included, by the 60 between two",
                [_checkpoint(cache, folder / "run") / 60 for _ in range(3)],
                at_most=0.05,
            ),
        ]


def _speeds(rounds: list[dict[str, float]], peer: list[float]) -> list[Claim]:
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    speeds = {**medians, "datasets": statistics.median(peer)}
    return [
        claim_of(
            "rows a second of reading ids, labels, teacher arrays and texts, shuffled in batches, by those "
            "of a bare pyarrow scan of the same columns in order",
            [one["reading"] / one["scan"] for one in rounds],
            at_least=0.8,
            detail=", ".join(f"{name} {speed:,.0f} rows/s" for name, speed in speeds.items()),
        ),
        claim_of(
            "the same as training reads, with views of the token file for texts",
            [one["reading for training"] / one["scan"] for one in rounds],
            at_least=0.8,
        ),
        claim_of(
            "rows a second of that reading by those of `datasets`, streaming and shuffled",
            [medians["reading"] / one for one in peer],
            at_least=5,
        ),
    ]


def _scan(cache: TeacherCache) -> None:
    for file in cache.manifest.files_of("train"):
        with pq.ParquetFile(cache.folder / file.name) as shard:
            for group in range(shard.num_row_groups):
                shard.read_row_group(group, columns=COLUMNS)


def _read(material: Material) -> None:
    for batches, pick, table in windows(material):
        start = 0
        for rows_B in batches:
            _ = pick(rows_B), table.slice(start, len(rows_B))
            start += len(rows_B)
        # The next window is read into the memory of this one.
        del batches, pick, table


def windows(
    material: Material, sharers: Processes = ALONE, columns: Sequence[str] = OTHERS
) -> Iterator[tuple[list[NDArray[np.int64]], Pick, pa.Table]]:
    """The windows of the first epoch: batches, what picks rows of the teacher array, and the other columns.

    Args:
        material: whose training rows are read.
        sharers: processes of which each has its slice of every batch.
        columns: those others.
    """
    split, order, kept = parts(material)
    for window, whole in order.batches(0, 0):
        batches = [rows_B[sharers.slice_of(len(rows_B))] for rows_B in whole]
        groups = sorted(window.groups)
        pick, others = kept.window(groups), pa.concat_tables(split.read(group, columns) for group in groups)
        shuffled = others.take(_places(split, groups, np.concatenate(batches)))
        yield batches, pick, shuffled
        # The next window is read into the memory of this one.
        del pick, others, shuffled


def _places(split: Split, groups: list[int], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where rows stand in the tables of some row groups, joined."""
    sizes = np.diff(split.group_starts)[groups]
    starts = np.zeros(split.num_groups, np.int64)
    starts[groups] = np.cumsum(sizes) - sizes
    numbers, inside = split.places(rows)
    return starts[numbers] + inside


def _read_for_training(material: Material) -> None:
    for _ in as_training_reads(material):
        pass


def as_training_reads(
    material: Material, sharers: Processes = ALONE
) -> Iterator[tuple[NDArray[np.generic], NDArray[np.floating], list[NDArray[np.int32]]]]:
    """The first epoch's batches: labels, rows of the teacher array, and the tokens of each text.

    Args:
        material: whose training rows are read.
        sharers: processes of which each has its slice of every batch.
    """
    stream, (_, order, kept) = material.train, parts(material)
    assert isinstance(stream, Stream)
    for window, batches in order.batches(0, 0):
        pick = kept.window(sorted(window.groups))
        for whole_B in batches:
            rows_B = whole_B[sharers.slice_of(len(whole_B))]
            yield stream.labels[rows_B], pick(rows_B), stream.tokens.rows("input_ids", rows_B)
        del pick


def parts(material: Material) -> tuple[Split, Order, Representations]:
    """The split that is read, the order of its batches, and its representations."""
    stream = material.train
    assert stream.representations is not None
    return stream.split, stream.order, stream.representations


def _datasets(cache: TeacherCache) -> None:
    import datasets

    files = [str(cache.folder / file.name) for file in cache.manifest.files_of("train")]
    rows = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, columns=COLUMNS)
    shuffled = rows.with_format("arrow").shuffle(seed=0, buffer_size=4096)
    assert sum(len(batch) for batch in shuffled.iter(batch_size=32)) == _ROWS


def material_of(cache: TeacherCache) -> Material:
    """What training makes of a cache: every row of its training split is trained on, none held back."""
    options = {"standardise": False, "protocol": "paper-dev"}
    run = resolve({"task": "movie-sentiment", "student": str(STUDENT), **options}, "audio")
    tokenizer = load_tokenizer(run.student)
    return gather(run, cache, find_task(run.task), tokenizer, torch.device("cpu"))


def _first_batch(cache: TeacherCache) -> float:
    load_tokenizer(str(STUDENT))
    started = time.perf_counter()
    stream = material_of(cache).train
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
