import json
import shutil
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from distill.again import measure_again, predict
from distill.config import RunConfig, resolve
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.errors import CacheError, SourceError, StudentError
from schemas.result import RunResult

Made = tuple[RunConfig, Path, RunResult]


@pytest.fixture(scope="module")
def made(cache: TeacherCache, tiny_student: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("run")
    options = {"batch_size": 16, "epochs": 1, "max_length": 32, "precision": "fp32", "hidden_dim": 16}
    run = resolve({"task": "movie-sentiment", "student": str(tiny_student), **options}, "audio")
    return run, folder, fit(run, cache, folder, quiet=True)


def test_measures_what_was_reported(made: Made, cache: TeacherCache) -> None:
    run, folder, result = made
    assert measure_again(run, cache, folder, "validation") == pytest.approx(result.metrics["student"])
    assert set(measure_again(run, cache, folder, "train")) == set(result.metrics["student"])
    with pytest.raises(CacheError, match="no rows of the split 'test'"):
        measure_again(run, cache, folder, "test")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_student_that_was_damaged_since_comes_with_how_it_is_made_again(
    made: Made, cache: TeacherCache, tmp_path: Path, name: str
) -> None:
    run, whole, _ = made
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    damaged = folder / "student" / name
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(StudentError) as caught:
        measure_again(run, cache, folder, "validation")
    line = str(caught.value)
    assert line.startswith(f"{folder / 'student'} cannot be loaded (")
    assert line.endswith("; delete this folder and run the distill command that made it once more")
    assert "\n" not in line


def test_a_student_that_lost_some_weights_is_not_given_others(
    made: Made, cache: TeacherCache, tmp_path: Path
) -> None:
    run, whole, _ = made
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    weights = load_file(folder / "student" / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "student" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudentError, match=r"student cannot be loaded \(no weights of classifier that fit\)"):
        measure_again(run, cache, folder, "validation")


def test_a_bad_file_is_named_before_a_student_is_loaded(
    made: Made, cache: TeacherCache, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(SourceError, match="no rows in it"):
        predict(made[0], cache, tmp_path / "no-such-run", tmp_path / "empty.jsonl")


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_answers_for_a_file_as_it_did_for_the_split(
    made: Made, cache: TeacherCache, tmp_path: Path, suffix: str
) -> None:
    run, folder, _ = made
    rows = [row for _, shard in cache.shards("validation") for row in shard.read().to_pylist()] * 5
    table = pl.DataFrame(
        {
            "example_id": [row["example_id"] for row in rows],
            "text": [row["fields"][0]["text"] for row in rows],
        }
    )
    source = tmp_path / f"new-{suffix}.{suffix}"
    {"jsonl": table.write_ndjson, "csv": table.write_csv, "parquet": table.write_parquet}[suffix](source)
    path = predict(run, cache, folder, source)
    assert path == folder / f"predictions-new-{suffix}.parquet"
    answered, reported = pq.read_table(path).to_pylist(), pq.read_table(folder / "predictions.parquet")
    wanted = {row["example_id"]: row for row in reported.to_pylist()}
    assert len(answered) == 160
    for row in answered:
        assert row["logits"] == pytest.approx(wanted[row["example_id"]]["logits"], abs=1e-5)
        assert row["class"] == ("negative", "positive")[row["predicted"]]


def test_answers_for_the_lines_that_stage_one_reads(made: Made, cache: TeacherCache, tmp_path: Path) -> None:
    run, folder, _ = made
    row = {"example_id": "a", "text": "A fine film."}
    (tmp_path / "flat.jsonl").write_text(json.dumps(row))
    nested = {"example_id": "a", "task": "movie-sentiment", "fields": {"text": "A fine film."}, "label": 1}
    (tmp_path / "nested.jsonl").write_text(json.dumps(nested), encoding="utf-8-sig")
    flat, same = (
        pq.read_table(predict(run, cache, folder, tmp_path / name)) for name in ("flat.jsonl", "nested.jsonl")
    )
    assert same.equals(flat)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_file_that_is_not_there_is_one_plain_line(
    made: Made, cache: TeacherCache, tmp_path: Path, suffix: str
) -> None:
    source = tmp_path / f"absent.{suffix}"
    with pytest.raises(SourceError) as caught:
        predict(made[0], cache, made[1], source)
    assert str(caught.value) == (
        f"--predict {source}: cannot be read (No such file or directory); give another file"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            json.dumps({"fields": {"words": "x"}}),
            r"no text in the column 'text', only fields, words",
        ),
        ("a.jsonl", json.dumps({"words": "x"}), r"row 1 has no text in the column 'text', only words"),
        ("a.jsonl", json.dumps({"text": "x"}) + "\n" + json.dumps({"text": 3}), r"row 2 has no text"),
        ("a.jsonl", "{", r"cannot be read"),
        ("a.jsonl", "[]", r"a line is no JSON object"),
        ("a.jsonl", "", r"no rows in it"),
        ("a.csv", "words\nx", r"row 1 has no text in the column 'text', only words"),
        ("a.parquet", "x", r"cannot be read"),
        ("a.txt", "x", r"wanted a file that ends in \.jsonl, \.csv, \.parquet"),
    ],
)
def test_a_file_that_will_not_do_is_one_line(
    made: Made, cache: TeacherCache, tmp_path: Path, *, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=message) as caught:
        predict(made[0], cache, made[1], tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not list(made[1].glob("*-a.parquet"))
