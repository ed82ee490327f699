"""teacher-shards import: the same bytes again, whole or not there, and files that are refused."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

Refused = Callable[..., str]


@pytest.fixture
def given(ask: Callable[..., Path], exported: Callable[..., Path], model: Path) -> tuple[object, ...]:
    """The arguments that import a file of axolotl's, but for --out."""
    return ("import", exported(ask(), "axolotl"), "--format", "axolotl", "--tokenizer", model)


def test_the_same_input_gives_the_same_bytes_and_is_not_imported_twice(
    given: tuple[object, ...], say: Callable[..., Any], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        assert say(*given, "--out", tmp_path / name, "--rows-per-shard", 4)[0] == 0

    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert sorted(files) == [
        "config.json", "manifest.json", "test-00000-of-00001.parquet", "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet", "validation-00000-of-00001.parquet",
    ]  # fmt: skip
    for name, data in files.items():
        if name != "config.json":
            assert (tmp_path / "b" / name).read_bytes() == data
    code, _, err = say(*given, "--out", tmp_path / "a", "--rows-per-shard", 4)
    assert (code, "holds this import already" in err) == (0, True)


def test_another_import_is_not_mixed_in(
    given: tuple[object, ...], say: Callable[..., Any], refused: Refused, tmp_path: Path
) -> None:
    assert say(*given, "--out", tmp_path / "a")[0] == 0

    line = refused(*given, "--out", tmp_path / "a", "--codec", "half")
    assert "is not empty" in line
    assert say("verify", tmp_path / "a")[0] == 0


def test_the_teacher_is_named_by_what_it_was_made_of(
    given: tuple[object, ...],
    say: Callable[..., Any],
    cached: Callable[[Path], Any],
    ask: Callable[..., Path],
    tmp_path: Path,
) -> None:
    say(*given, "--out", tmp_path / "a")

    teacher = cached(tmp_path / "a")[0].teacher
    assert (teacher.backend, teacher.name) == ("import", Path(str(given[1])).name)
    assert teacher.options == {"format": "axolotl", "models": []}
    assert len(teacher.revision) == 64
    # Its tokenizer is the one that the transformers teacher had.
    assert teacher.hashes["tokenizer"] == cached(ask())[0].teacher.hashes["tokenizer"]


@pytest.mark.slow
def test_an_import_that_is_killed_leaves_no_cache_and_begins_anew(
    given: tuple[object, ...], say: Callable[..., Any], tmp_path: Path
) -> None:
    out, partial = tmp_path / "new" / "a", tmp_path / "new" / ".a.partial"
    arguments = [str(one) for one in (*given, "--out", out, "--rows-per-shard", 1)]
    script = (
        "import time; from teacher_cache.interchange import importing; "
        "importing.write_manifest = lambda *a: time.sleep(60); "
        "from teacher_cache.shards_cli import main; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(partial.glob("*.parquet"))) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert not out.exists()
    assert "no manifest.json" in say("verify", partial)[2]
    assert say(*arguments)[0] == 0
    assert say("verify", out)[0] == 0
    assert [path.name for path in out.parent.iterdir()] == ["a"]


def test_files_that_are_refused(
    given: tuple[object, ...], refused: Refused, model: Path, tmp_path: Path
) -> None:
    folder = Path(str(given[1]))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes((folder / "train.parquet").read_bytes()[:-50])
    (tmp_path / "empty").mkdir()
    more = ("--out", tmp_path / "x", "--tokenizer", model)

    def line(path: Path, name: str = "axolotl") -> str:
        return refused("import", path, "--format", name, *more)

    assert f"{cut} cannot be read as Parquet" in line(cut)
    assert "is not there" in line(tmp_path / "none")
    assert "holds no .parquet" in line(tmp_path / "empty")
    assert "--format distillkit needs compressed_logprobs; name the file's own format" in line(
        folder, "distillkit"
    )
    assert "neither messages nor prompt and completion" in line(folder, "trl")
    assert "is not UTF-8" in refused(
        "import",
        folder / "train.parquet",
        "--format",
        "openai-batch",
        *more,
        "--prompts",
        folder / "prompts.jsonl",
    )
    assert not (tmp_path / "x").exists()


def test_another_vocabulary(given: tuple[object, ...], refused: Refused, tmp_path: Path) -> None:
    small = ("import", given[1], "--format", "axolotl", "--out", tmp_path / "x", "--vocab-size", 50)

    line = refused(*small)
    assert ", row 1: token id " in line
    assert "is outside the vocabulary of 50; give the tokenizer" in line
    assert "has 259 ids" in refused(*given, "--out", tmp_path / "x", "--vocab-size", 50, status=2)


def test_ids_that_stand_twice_are_missing_or_unknown(
    given: tuple[object, ...], refused: Refused, tmp_path: Path
) -> None:
    import pyarrow as pa

    folder = Path(str(given[1]))
    table = pq.read_table(folder / "train.parquet")
    path = tmp_path / "f.parquet"
    more = (*given[2:], "--out", tmp_path / "x")

    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    assert f"{path}, row 7: the id row-0 stands in {path}, row 1 too" in refused("import", path, *more)
    pq.write_table(table.drop_columns(["example_id"]), path)
    assert f"{path}, row 1: it has no id" in refused("import", path, *more)
    prompts = tmp_path / "p.jsonl"
    prompts.write_text(json.dumps({"example_id": "other", "prompt": "x"}) + "\n")
    line = refused("import", folder, *more, "--prompts", prompts)
    assert f"row 1: the id row-0 is not in {prompts}; give the prompts that were asked" in line


def test_options_that_contradict_each_other(
    given: tuple[object, ...], refused: Refused, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "x")
    folder = Path(str(given[1]))

    line = refused(*given, *out, "--number-rows", "--prompts", folder / "prompts.jsonl", status=2)
    assert "both name the rows" in line
    line = refused(*given, *out, "--task", "movie-sentiment", status=2)
    assert "--task movie-sentiment has the fields text" in line
    (tmp_path / "t.jsonl").write_text('{"id": "a", "prompt": "x", "completion": "y"}\n')
    line = refused("import", tmp_path / "t.jsonl", "--format", "trl", *out, "--codec", "half", status=2)
    assert "has no log-probabilities; leave it out" in line


def test_rows_are_named_by_position_where_that_is_asked(
    given: tuple[object, ...], say: Callable[..., Any], cached: Callable[[Path], Any], tmp_path: Path
) -> None:
    assert say(*given, "--out", tmp_path / "a", "--number-rows")[0] == 0

    assert list(cached(tmp_path / "a")[1]) == [f"row-{number:06d}" for number in range(1, 11)]
