"""Whatever the bytes of a source, it is read or refused in one line; nothing else comes out of a reader."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.tasks import TASKS
from teacher_cache.readers.reading import Reading
from teacher_cache.readers.saved_dataset import read_saved_dataset

Read = Callable[..., Reading]
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
TASK_NAMES = st.sampled_from([None, *TASKS])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "url", "x"]), inner)
    ),
    max_leaves=6,
)
KEYS = ("example_id", "task", "split", "fields", "label", "media", "prompt", "messages", "custom_id", "body")
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "image_url", "input_image"])},
    optional={"text": VALUES, "image_url": VALUES, "url": VALUES, "path": VALUES, "base64": VALUES},
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text() | st.lists(PARTS)}
    )
)


def whole_or_refused(read: Callable[[], Any]) -> None:
    refusal = ""
    try:
        read()
    except SourceError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 2000


@ANY
@given(st.sampled_from(["p.jsonl", "p.csv", "p.tsv", "p.parquet", "p"]), st.binary(), TASK_NAMES)
@example("p.csv", b"text\n\xff", None)
@example("p.parquet", b"PAR1", None)
def test_bytes(read: Read, name: str, content: bytes, task: str | None) -> None:
    whole_or_refused(lambda: read(name, content, task=task))


@ANY
@given(st.dictionaries(st.sampled_from(KEYS), VALUES), TASK_NAMES)
def test_objects(read: Read, row: dict[str, Any], task: str | None) -> None:
    whole_or_refused(lambda: read("p.jsonl", json.dumps(row), task=task))


@ANY
@given(TURNS, st.lists(st.text(), max_size=2), TASK_NAMES)
def test_conversations(read: Read, turns: list[Any], media: list[str], task: str | None) -> None:
    for line in ({"messages": turns, "media": media}, {"custom_id": "a", "body": {"messages": turns}}):
        whole_or_refused(lambda line=line: read("p.jsonl", line, task=task))


@ANY
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"))), min_size=1), st.sampled_from([",", "\t"]))
def test_cells(read: Read, rows: list[list[str]], delimiter: str) -> None:
    header = delimiter.join(KEYS[: len(rows[0])])
    body = "\n".join(delimiter.join(cells) for cells in rows)
    whole_or_refused(lambda: read("p.csv" if delimiter == "," else "p.tsv", f"{header}\n{body}"))


@ANY
@given(st.data(), st.sampled_from(KEYS[:8]), TASK_NAMES)
def test_columns(read: Read, data: st.DataObject, name: str, task: str | None) -> None:
    values = data.draw(
        st.lists(data.draw(st.sampled_from([st.text(), st.integers(-9, 9), VALUES])), max_size=3)
    )
    sink = io.BytesIO()
    try:
        pq.write_table(pa.table({name: values, "text": ["x"] * len(values)}), sink)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, AttributeError, TypeError):
        return  # no table has such a column
    whole_or_refused(lambda: read("p.parquet", sink.getvalue(), task=task))


@pytest.fixture(scope="module")
def table() -> bytes:
    columns = {
        "text": [f"Sentence {index}." for index in range(20)],
        "label": [index % 2 for index in range(20)],
        "image": [{"bytes": bytes([index]), "path": f"{index}.png"} for index in range(20)],
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=7, write_page_checksum=True)
    return sink.getvalue()


@ANY
@given(position=st.integers(0, 10**6), new=st.binary(min_size=1, max_size=8))
def test_a_damaged_parquet_file(read: Read, table: bytes, position: int, new: bytes) -> None:
    at = position % len(table)
    damaged = table[:at] + new + table[at + len(new) :]
    whole_or_refused(lambda: read("p.parquet", damaged, task="movie-sentiment"))


@ANY
@given(position=st.integers(0, 10**6), new=st.binary(min_size=1, max_size=8))
def test_a_damaged_dataset(tmp_path: Path, position: int, new: bytes) -> None:
    schema = pa.schema({"text": pa.string(), "label": pa.int64()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table({"text": ["Fine.", "Poor."], "label": [1, 0]}, schema=schema))
    whole = sink.getvalue()
    at = position % len(whole)
    (tmp_path / "data.arrow").write_bytes(whole[:at] + new + whole[at + len(new) :])
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))

    whole_or_refused(lambda: read_saved_dataset(tmp_path, TASKS["movie-sentiment"]))
