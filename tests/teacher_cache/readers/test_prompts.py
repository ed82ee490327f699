"""Which format a file of prompts is."""

import gzip
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import SourceError
from teacher_cache.readers.prompts import read_prompts
from teacher_cache.readers.reading import Reading

Read = Callable[..., Reading]
LINE = '{"example_id": "a", "prompt": "?"}\n'


@pytest.mark.parametrize("name", ["p.jsonl", "p.ndjson", "p.json", "P.JSONL", "p.txt", "prompts"])
def test_json_lines_under_any_name(read: Read, name: str) -> None:
    assert read(name, LINE).examples[0].prompt == "?"


@pytest.mark.parametrize("name", ["p.parquet", "p.csv", "p"])
def test_parquet_is_known_by_its_first_bytes(read: Read, name: str) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["Fine."]}), sink)

    assert read(name, sink.getvalue().to_pybytes()).examples[0].fields == {"text": "Fine."}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", "Fine.\n", r"p.txt: .txt is no format that is read; give .jsonl, .csv, .tsv or .parquet"),
        ("prompts", "", r"prompts: a name without an ending is no format that is read"),
        (
            "p.jsonl.gz",
            gzip.compress(LINE.encode(), mtime=0),
            r"p.jsonl.gz is compressed \(.gz\); unpack it first",
        ),
        ("p.csv", b"PK\x03\x04", r"p.csv is compressed \(.zip\); unpack it first"),
        ("p.parquet", LINE, r"p.parquet is no Parquet file that can be read: .*; write it again"),
    ],
)
def test_what_is_no_format_is_refused(read: Read, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        read(name, content)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            json.dumps(json.loads(LINE), indent=2),
            r"p.json, line 1: the object does not end in its line; write",
        ),
        ('{"example_id": "a",\n "prompt": "?"}', r"p.json, line 1: the object does not end in its line"),
        (
            "\n{\n}",
            r"p.json, line 2: the object does not end in its line; write JSON lines, one object a line",
        ),
        (f"[{LINE}]", r"p.json, line 1: an array begins; write JSON lines, one object a line"),
        ("[\n{}\n]", r"p.json, line 1: an array begins"),
    ],
)
def test_json_that_is_no_lines(read: Read, content: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        read("p.json", content)
    assert "\n" not in str(raised.value)


def test_a_folder_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder, a file is wanted"):
        read_prompts(tmp_path, None, {})
    for name in ("p.jsonl", "p.csv", "p.parquet", "p"):
        with pytest.raises(SourceError, match=rf"{name} is not there"):
            read_prompts(tmp_path / name, None, {})


def test_lines_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(LINE,))
    writer.start()

    assert read_prompts(pipe, None, {}).examples[0].prompt == "?"
    writer.join()
