"""Rows of every shape that the contract allows, and a small cache on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.answer import Answer, Usage
from schemas.codec import CODECS
from schemas.example import Example, Label, Media
from schemas.manifest import CacheManifest, Request, TeacherIdentity
from schemas.manifest_file import write_manifest
from schemas.rows import Row, encode
from schemas.shard import arrow_schema, seal, shard_name
from schemas.topk import TopK

WIDTH = 4


@pytest.fixture(scope="session")
def manifest() -> CacheManifest:
    """A cache of three rows to come."""
    identity = TeacherIdentity(
        backend="fast", name="fast", revision="1", modality="audio", repr_dim=WIDTH, vocab_size=9
    )
    request = Request(
        task="movie-sentiment",
        source="x",
        splits={"train": 2, "test": 1},
        prompts_digest="0",
        store=("text", "repr", "logprobs"),
        rows_per_shard=2,
        codec="packed",
    )
    return CacheManifest(teacher=identity, request=request)


@pytest.fixture
def cache(tmp_path: Path, manifest: CacheManifest) -> tuple[Path, CacheManifest]:
    """A whole cache: a full answer and a row that was not asked in train, an error in test."""
    schema = arrow_schema(manifest)
    train = [Row(example("a"), "A?", full_answer()), Row(example("b"), "B?", None)]
    test = [Row(example("c", split="test"), "C?", Answer(error="it would not say"))]
    files = tuple(
        seal(tmp_path, shard_name(split, 0, 1), split, pa.Table.from_batches([encode(rows, schema)]))
        for split, rows in (("train", train), ("test", test))
    )
    whole = manifest.model_copy(update={"files": files})
    write_manifest(tmp_path, whole)
    return tmp_path, whole


@pytest.fixture
def example_named() -> Callable[..., Example]:
    """Make an example by its id."""
    return example


def example(identifier: str, split: str = "train") -> Example:
    return Example(
        id=identifier,
        task="movie-sentiment",
        split=split,
        fields={"text": f"Text of {identifier}, naïve."},
        label=Label(class_ids=(1,)),
        media=(Media("a.png", "00"),),
    )


def full_answer() -> Answer:
    top = TopK(np.int32([5, 8, 6]), np.float32([-0.5, -40, -0.25]), np.uint32([2, 1]), 9)
    ids, logprobs = CODECS["packed"].encode(top)
    return Answer(
        texts=("yes", "no"),
        repr=np.arange(WIDTH, dtype=np.float16),
        token_ids=np.array([5, 6], np.int32),
        token_logprobs=np.array([-0.5, -0.25], np.float32),
        topk_ids=ids,
        topk_logprobs=logprobs,
        tail_logprob=np.log(np.float32([0.1, 0.3])),
        usage=Usage(3, 2),
        finish_reason="stop",
    )
