"""docs/sources.md is true: its examples are read as it says, its errors are those that rows get."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from schemas.errors import SourceError
from schemas.example import Label, Media
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.media import _FORMATS
from teacher_cache.plan import Plan, make_plan
from teacher_cache.readers.columns import KNOWN_COLUMNS
from teacher_cache.readers.prompt_row import PromptRow

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "sources.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SCRIPTS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

Read = Callable[..., Plan]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def written(name: str, **options: object) -> Plan:
        path = tmp_path / name
        path.write_text(FILES[name], encoding="utf-8")
        return make_plan(CacheConfig(model="none", prompts=path, **options))

    return written


def run(script: str, folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(script, "docs/sources.md", "exec"), {})
    finally:
        os.chdir(here)


def test_the_page_shows_every_format() -> None:
    assert set(FILES) == {"reviews.jsonl", "talk.jsonl", "batch.jsonl", "reviews.csv"}
    assert len(SCRIPTS) == 2


def test_json_lines(read: Read) -> None:
    plan = read("reviews.jsonl")

    assert (plan.task.name, plan.splits) == ("movie-sentiment", {"train": 2, "test": 1})
    one, three, two = plan.examples
    assert (one.prompt, one.label) == ("A fine film.", Label(class_ids=(1,)))
    assert three.prompt == "Is 'So so.' praise?"
    assert two.label == Label(class_ids=(0,))


def test_messages(read: Read) -> None:
    one, two, three = read("talk.jsonl").examples

    assert (one.id, one.prompt, one.label) == ("sum", "2 + 2?", Label(target_text="4"))
    assert (two.id, [turn.role for turn in two.messages]) == (
        "row-000002",
        ["system", "user", "assistant", "user"],
    )
    assert (three.prompt, three.media) == ("What is it?", (Media("cat.png", ""),))


def test_batch_lines(read: Read) -> None:
    plan = read("batch.jsonl")

    assert [(e.id, e.prompt) for e in plan.examples] == [
        ("a", "2 + 2?"),
        ("b", "2 + 2 ="),
        ("c", "A fine film."),
    ]
    assert plan.notices == ("model m of the batch lines gives way to --model",)


def test_csv(read: Read) -> None:
    one, three, two = read("reviews.csv", task="movie-sentiment").examples

    assert one.fields["text"] == 'A fine, "very" fine film.'
    assert (two.fields["text"], two.label) == ("A poor one,\non two lines.", Label(class_ids=(0,)))
    assert three.label == Label()


def test_parquet(tmp_path: Path) -> None:
    run(SCRIPTS[0], tmp_path)
    path = tmp_path / "reviews.parquet"
    plan = make_plan(CacheConfig(model="none", prompts=path, task="movie-sentiment"))

    assert [example.prompt for example in plan.examples] == ["A fine film.", "A poor one."]
    pl.read_parquet(path).with_columns(year=1994).write_parquet(path)
    with pytest.raises(SourceError, match=r"\['text', 'year'\], task movie-sentiment wants \['text'\]"):
        make_plan(CacheConfig(model="none", prompts=path, task="movie-sentiment"))


@pytest.mark.parametrize(("task", "fields"), [("movie-sentiment", ["text"]), ("free", ["text", "idx"])])
def test_a_saved_dataset(tmp_path: Path, task: str, fields: list[str]) -> None:
    import datasets

    datasets.disable_progress_bars()
    run(SCRIPTS[1], tmp_path)
    plan = make_plan(CacheConfig(model="none", source=tmp_path / "saved", task=task))

    assert plan.splits == {"train": 3, "test": 3}
    assert [list(example.fields) for example in plan.examples] == [fields] * 6
    assert [e.label.class_ids for e in plan.examples[:3]] == (
        [(1,), (0,), ()] if task != "free" else [()] * 3
    )


def test_the_table_of_keys_is_whole() -> None:
    table = PAGE.partition("| key | |\n")[2].partition("\n\n")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(PromptRow.model_fields)
    assert set(KNOWN_COLUMNS) == set(PromptRow.model_fields) - {"fields"}


def test_the_table_of_tasks_is_whole() -> None:
    table = PAGE.partition("\n## Tasks\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `([a-z0-9/-]+)` \|", table, re.MULTILINE)) == set(TASKS)


def test_the_errors_are_those_that_rows_get() -> None:
    table = PAGE.partition("## Pictures")[2].partition("| | |\n")[2].partition("\n\n")[0]
    said = "".join(
        (REPOSITORY / "teacher_cache" / name).read_text() for name in ("media.py", "remote_media.py")
    )

    messages = [
        found for row in table.splitlines()[1:] for found in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    assert len(messages) == 12
    assert [message for message in messages if message not in said] == []


def test_the_formats_of_pictures_are_those_that_are_opened() -> None:
    (sentence,) = re.findall(r"^(BMP.*) are opened", PAGE, re.MULTILINE)

    assert re.split(r", | AND ", sentence.upper()) == list(_FORMATS)
