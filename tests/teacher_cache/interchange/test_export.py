"""teacher-shards export: what is refused, what is left out, what stands beside the rows."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from teacher_cache.interchange import FORMATS
from teacher_cache.interchange_cli import FORMATS as OFFERED
from teacher_cache.readers.prompts import read_prompts

Refused = Callable[..., str]


def test_the_command_offers_the_formats_of_the_table() -> None:
    assert tuple(FORMATS) == OFFERED


def test_a_cache_without_the_signal_names_the_option_that_stores_it(
    ask: Callable[..., Path], refused: Refused, model: Path, tmp_path: Path
) -> None:
    texts, tokens = ask(store=("text",)), ask(store=("logprobs",))

    for name in ("distillkit", "axolotl"):
        line = refused("export", texts, "--format", name, "--out", tmp_path / "x", "--tokenizer", model)
        assert line.endswith(
            f"stores text, --format {name} needs logprobs; make a cache with cache-teacher --store logprobs"
        )
    for name in ("openai-batch", "trl"):
        line = refused("export", tokens, "--format", name, "--out", tmp_path / "x")
        assert line.endswith("needs text; make a cache with cache-teacher --store text")
    assert not (tmp_path / "x").exists()


def test_draws_are_no_most_probable_entries(
    ask: Callable[..., Path], refused: Refused, model: Path, tmp_path: Path
) -> None:
    cache = ask(codec="sampled", store=("text", "logprobs"))

    line = refused("export", cache, "--format", "axolotl", "--out", tmp_path / "x", "--tokenizer", model)
    assert "has draws (codec sampled)" in line
    assert "cache-teacher --codec packed" in line


def test_nothing_is_overwritten(ask: Callable[..., Path], refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")

    line = refused("export", ask(), "--format", "trl", "--out", tmp_path / "full")
    assert "is not empty, it holds mine; give a new folder" in line
    assert "no folder" in refused("export", ask(), "--format", "trl", "--out", tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_tokens_need_the_teachers_own_tokenizer(
    ask: Callable[..., Path], refused: Refused, model: Path, tmp_path: Path
) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(model, other, ignore=shutil.ignore_patterns("*.safetensors"))
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    one, two = list(vocabulary)[-2:]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    given = ("export", ask(), "--format", "distillkit", "--out", tmp_path / "x")

    assert "give the teacher's tokenizer with --tokenizer DIR" in refused(*given, status=2)
    line = refused(*given, "--tokenizer", other)
    assert "has the digest" in line
    assert "give the teacher's own" in line
    assert "no such folder" in refused(*given, "--tokenizer", tmp_path / "none", status=2)


def test_splits_are_chosen_and_checked(
    ask: Callable[..., Path], exported: Callable[..., Path], refused: Refused, tmp_path: Path
) -> None:
    out = exported(ask(), "trl", "--split", "validation,test")

    assert sorted(path.name for path in out.glob("*.parquet")) == ["test.parquet", "validation.parquet"]
    line = refused("export", ask(), "--format", "trl", "--out", tmp_path / "x", "--split", "dev", status=2)
    assert "--split dev:" in line
    assert "has train, validation, test; give one of them" in line


def test_rows_without_an_answer_are_left_out_and_counted(
    ask: Callable[..., Path], say: Callable[..., Any], tmp_path: Path
) -> None:
    # Prompts with an exclamation mark do not fit the context; outside train nothing is asked.
    cache = ask(teach="train", template="x{text}" + "y" * 221)

    code, out, err = say("export", cache, "--format", "openai-batch", "--out", tmp_path / "x", "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["left_out"] == {"are errors": 4, "were not taught": 4}
    assert summary["rows"] == {"train": 2, "validation": 0, "test": 0}
    assert "left out: 4 rows are errors, 4 rows were not taught" in err
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["prompts.jsonl", "train.jsonl"]
    assert len((tmp_path / "x" / "prompts.jsonl").read_text().splitlines()) == 2


def test_prompts_beside_an_export_are_read_by_cache_teachers_own_reader(
    ask: Callable[..., Path], exported: Callable[..., Path], cached: Callable[[Path], Any]
) -> None:
    _, rows = cached(ask())
    reading = read_prompts(exported(ask(), "trl") / "prompts.jsonl", None, {})

    assert reading.task.name == "movie-sentiment"
    for example in reading.examples:
        row = rows[example.id]
        assert (example.fields, example.label, example.prompt) == (
            row.example.fields, row.example.label, row.prompt
        )  # fmt: skip


@pytest.mark.parametrize("name", ["distillkit", "axolotl", "trl"])
def test_datasets_opens_an_export_by_its_card(
    name: str, ask: Callable[..., Path], exported: Callable[..., Path]
) -> None:
    import datasets

    found = datasets.load_dataset(str(exported(ask(), name)))

    assert {split: len(rows) for split, rows in found.items()} == {"train": 6, "validation": 2, "test": 2}


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_no_folder_and_the_next_is_whole(
    ask: Callable[..., Path], say: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    partial = tmp_path / ".x.partial"
    line = (
        "import time; from teacher_cache.interchange import exporting; "
        "exporting.prompts_line = lambda row: time.sleep(60); "
        "from teacher_cache.shards_cli import main; main()"
    )
    arguments = ["export", str(ask()), "--format", "openai-batch", "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-c", line, *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(partial.glob(".train.jsonl.tmp")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert partial.is_dir()
    assert not out.exists()
    assert say(*arguments)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]
    assert not list(out.glob(".*"))


def test_a_cache_with_nothing_to_write_is_refused(
    ask: Callable[..., Path], refused: Refused, tmp_path: Path
) -> None:
    cache = ask(teach="train", template="{text}" + "y" * 300)

    line = refused("export", cache, "--format", "trl", "--out", tmp_path / "x")
    assert line.endswith("no row can be written: 6 rows are errors, 4 rows were not taught")
    assert not list(tmp_path.iterdir())
