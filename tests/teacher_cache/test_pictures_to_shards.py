"""From rows with pictures and conversations to shards: a bad picture is an error row, and the run goes on."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from schemas.answer import Answer
from schemas.example import Example
from schemas.rows import Row, decode
from teacher_cache.media import MediaError
from teacher_cache.teachers import BACKENDS, TeacherSettings

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run_with_eyes(fast_teacher: ModuleType, run: Run) -> Run:
    """Run stage one with a fast teacher that looks at each picture."""

    class Eyes(fast_teacher.FastTeacher):
        def __init__(self, settings: TeacherSettings) -> None:
            super().__init__(settings)
            self.media = settings.media

        def _answer(self, example: Example) -> Answer:
            try:
                sizes = [self.media.load_image(item).size for item in example.media]
            except MediaError as error:
                return Answer(error=str(error))
            return replace(super()._answer(example), texts=(str(sizes),))

    BACKENDS["fast"] = replace(BACKENDS["fast"], make=Eyes)
    return run


def rows_of(folder: Path) -> dict[str, Row]:
    rows = [row for path in sorted(folder.glob("*.parquet")) for row in decode(pq.read_table(path))]
    return {row.example.id: row for row in rows}


def answer_of(row: Row) -> Answer:
    assert row.answer is not None
    return row.answer


def line(name: str, url: str) -> str:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
    return json.dumps({"id": name, "messages": [{"role": "user", "content": content}]}) + "\n"


def test_a_bad_picture_is_a_row_that_failed(run_with_eyes: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    Image.new("RGB", (6, 4)).save(source / "good.png")
    (source / "torn.png").write_bytes((source / "good.png").read_bytes()[:40])
    (tmp_path / "secret.png").write_bytes((source / "good.png").read_bytes())
    uri = "data:image/png;base64," + base64.b64encode((source / "good.png").read_bytes()).decode()
    urls = {
        "good": "good.png",
        "inline": uri,
        "torn": "torn.png",
        "missing": "none.png",
        "outside": "../secret.png",
        "remote": "https://example.org/x.png?signature=secret",
        "broken": "data:image/png;base64,@@@",
    }
    prompts = source / "prompts.jsonl"
    prompts.write_text("".join(line(name, url) for name, url in urls.items()))

    summary = run_with_eyes(prompts, store=("text", "repr"), max_consecutive_errors=0)
    rows = rows_of(tmp_path / "cache")

    assert (summary["rows"], summary["errors"], summary["complete"]) == (7, 5, True)
    assert list(rows) == list(urls)
    assert {row.prompt for row in rows.values()} == {"What is it?"}
    for name in ("good", "inline"):
        assert answer_of(rows[name]).texts == ("[(6, 4)]",)
    digest = hashlib.sha256((source / "good.png").read_bytes()).hexdigest()
    assert rows["inline"].example.media[0].path == f"inline/{digest}.png"
    assert rows["good"].example.media[0].sha256 == digest
    for name, message in {
        "torn": "torn.png is no picture that can be read",
        "missing": "none.png is not there",
        "outside": "../secret.png is outside the folder of its source",
        "remote": "https://example.org/x.png is a URL; --allow-remote-media would fetch it",
        "broken": "a data URI without base64 bytes that can be decoded",
    }.items():
        assert str(answer_of(rows[name]).error).startswith(message)
        assert str(tmp_path) not in str(answer_of(rows[name]).error)


def test_a_repaired_picture_is_asked_alone_with_reuse(run_with_eyes: Run, tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(line("a", "a.png") + line("b", "b.png"))
    assert run_with_eyes(prompts, store=("text",))["errors"] == 1
    Image.new("RGB", (5, 5)).save(tmp_path / "b.png")

    summary = run_with_eyes(prompts, store=("text",), out=tmp_path / "again", reuse=tmp_path / "cache")
    assert (summary["errors"], summary["reused"], summary["asked"]) == (0, 1, 1)
    assert answer_of(rows_of(tmp_path / "again")["b"]).texts == ("[(5, 5)]",)


def test_conversations_and_any_text_stand_in_the_shard_as_they_were_given(run: Run, tmp_path: Path) -> None:
    words = 'a \x1b b "quoted" \u2028 \U0001f600 \r\n\t'
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": words}]
    prompts = tmp_path / "prompts.jsonl"
    lines = [{"id": "one", "messages": turns[1:]}, {"id": "two", "messages": turns}]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(prompts, store=("text",))

    rows = rows_of(tmp_path / "cache")
    assert rows["one"].prompt == words
    assert json.loads(rows["two"].prompt) == turns
    assert answer_of(rows["one"]).texts == (f"heard: {words}",)
