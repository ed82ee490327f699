"""Rows to columns and back, exactly."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.answer import Answer, Usage
from schemas.errors import ShardError
from schemas.example import Example, Label, Media
from schemas.manifest import CacheManifest
from schemas.rows import Row, decode, encode, representations
from schemas.shard import arrow_schema

WIDTH = 4
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COUNT = st.integers(0, 2**31 - 1)
FLOATS = st.floats(width=32, allow_nan=False)


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


EXAMPLES = st.builds(
    Example,
    id=TEXT,
    task=TEXT,
    split=st.sampled_from(["train", "validation", "test"]),
    fields=st.dictionaries(TEXT, TEXT, max_size=3),
    label=st.builds(
        Label,
        class_ids=st.lists(COUNT, max_size=3).map(tuple),
        value=maybe(FLOATS),
        target_text=maybe(TEXT),
    ),
    media=st.lists(st.builds(Media, path=TEXT, sha256=TEXT), max_size=2).map(tuple),
)
ANSWERS = st.builds(
    Answer,
    texts=maybe(st.lists(TEXT, max_size=3).map(tuple)),
    repr=maybe(arrays.arrays(np.float16, WIDTH)),
    token_ids=maybe(arrays.arrays(np.int32, st.integers(0, 5))),
    token_logprobs=maybe(arrays.arrays(np.float32, st.integers(0, 5))),
    topk_ids=maybe(st.binary(max_size=9)),
    topk_logprobs=maybe(st.binary(max_size=9)),
    tail_logprob=maybe(arrays.arrays(np.float32, st.integers(0, 5))),
    usage=maybe(st.builds(Usage, COUNT, COUNT)),
    finish_reason=maybe(TEXT),
    error=maybe(TEXT),
)
ROWS = st.lists(st.builds(Row, example=EXAMPLES, prompt=TEXT, answer=maybe(ANSWERS)), max_size=6)


def assert_same_answer(found: Answer | None, wanted: Answer | None) -> None:
    wanted = None if wanted is None or wanted.is_empty else wanted
    assert (found is None) == (wanted is None)
    if found is None or wanted is None:
        return
    for field in fields(Answer):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other, field.name


@given(ROWS, st.integers(0, 5))
def test_rows_come_back_as_they_were(rows: list[Row], start: int) -> None:
    schema = arrow_schema(_manifest())
    batch = encode(rows, schema)

    assert batch.schema.equals(schema)
    batch.validate(full=True)
    # A slice has offsets of its own, which views of the values must heed.
    for found, wanted in zip(decode(batch.slice(start)), rows[start:], strict=True):
        assert (found.example, found.prompt) == (wanted.example, wanted.prompt)
        assert_same_answer(found.answer, wanted.answer)


@given(ROWS)
def test_representations_are_one_array_with_a_mask(rows: list[Row]) -> None:
    table = pa.Table.from_batches([encode(rows, arrow_schema(_manifest()))])
    values_Rd, present_R = representations(table["teacher_repr"])

    stored = table["teacher_repr"].chunk(0).values.to_numpy(zero_copy_only=False)
    assert np.shares_memory(values_Rd, stored) or not rows
    assert values_Rd.shape == (len(rows), WIDTH)
    for value, present, row in zip(values_Rd, present_R, rows, strict=True):
        given_repr = None if row.answer is None else row.answer.repr
        assert present == (given_repr is not None)
        if given_repr is not None:
            np.testing.assert_array_equal(value, given_repr)


def test_a_representation_of_another_width_names_its_example(manifest: CacheManifest) -> None:
    wrong = Row(Example(id="movie-7", task="t", split="train", fields={}), "", Answer(repr=np.zeros(5)))

    with pytest.raises(
        ShardError, match=r"example movie-7: a representation of shape \(5,\), its cache holds \(4,\)"
    ):
        encode([wrong], arrow_schema(manifest))


def test_a_cache_without_representations_has_a_column_of_nulls(manifest: CacheManifest) -> None:
    without = manifest.model_copy(
        update={"request": manifest.request.model_copy(update={"store": ("text",)})}
    )
    example = Example(id="a", task="t", split="train", fields={})
    batch = encode([Row(example, "", Answer(texts=("yes",)))], arrow_schema(without))

    assert batch.column("teacher_repr").type == pa.null()
    assert decode(batch)[0].answer == Answer(texts=("yes",))


def _manifest() -> CacheManifest:
    from schemas.manifest import Request, TeacherIdentity

    identity = TeacherIdentity(backend="fast", name="fast", revision="1", modality="audio", repr_dim=WIDTH)
    request = Request(task="t", source="x", splits={"train": 1}, prompts_digest="0", rows_per_shard=2)
    return CacheManifest(teacher=identity, request=request)
