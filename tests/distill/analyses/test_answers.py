import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from distill.analyses.answers import answers_of
from distill.analyses.examples import examples
from distill.analyses.finished import open_run
from schemas.cache import TeacherCache
from schemas.errors import AnalysisError
from schemas.example import Example, Label


@pytest.fixture
def made(armada: Path, undistilled: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs whose answers are written anew: ours wrong on the rows 0 and 1, the other's on 1, 2 and 3."""
    copies = []
    for folder, wrong in ((armada, [0, 1]), (undistilled, [1, 2, 3])):
        copy = shutil.copytree(folder, tmp_path / folder.name)
        table = pl.read_parquet(copy / "predictions.parquet").with_row_index()
        flipped = pl.when(pl.col("index").is_in(wrong)).then(1 - pl.col("label")).otherwise(pl.col("label"))
        table = table.with_columns(predicted=flipped).drop("index")
        table.sample(fraction=1, shuffle=len(wrong) == 3, seed=0).write_parquet(copy / "predictions.parquet")
        copies.append(copy)
    return copies[0], copies[1]


def test_scenarios_are_joined_by_id(made: tuple[Path, Path]) -> None:
    answers = answers_of(*map(open_run, made))

    assert answers.scenarios[1].nonzero()[0].tolist() == [2, 3]
    assert answers.scenarios[2].nonzero()[0].tolist() == [0]
    assert answers.ids[:2] == ("validation-0000", "validation-0001")
    assert answers.classes_R.tolist() == answers.gold


def test_the_rows_that_one_student_gets_right_can_be_read(
    made: tuple[Path, Path], cache: TeacherCache
) -> None:
    answers = answers_of(*map(open_run, made))
    table = examples(answers, cache)
    texts = {
        row["example_id"]: row["fields"][0]["text"]
        for _, s in cache.shards("validation")
        for row in s.read().to_pylist()
    }

    assert table["example_id"].to_list() == ["validation-0002", "validation-0003"]
    assert table["text"].to_list() == [texts[name] for name in table["example_id"]]
    assert (table["gold"] == table["distilled"]).all()
    assert set(table["gold"]) | set(table["undistilled"]) == {"negative", "positive"}
    assert (table["gold"] != table["undistilled"]).all()
    assert examples(answers, cache, 2)["example_id"].to_list() == ["validation-0000"]


def test_no_row_is_an_empty_table(armada: Path, cache: TeacherCache) -> None:
    run = open_run(armada)
    table = examples(answers_of(run, run), cache)

    assert (table.height, table.columns[0]) == (0, "example_id")


def test_runs_on_other_rows_are_refused(made: tuple[Path, Path]) -> None:
    path = made[1] / "predictions.parquet"
    pl.read_parquet(path).head(30).write_parquet(path)
    with pytest.raises(
        AnalysisError, match=r"reported 32 rows, .* 30, of which 30 are the same; give two runs"
    ):
        answers_of(*map(open_run, made))


def test_damaged_predictions_are_one_line(made: tuple[Path, Path]) -> None:
    path = made[1] / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AnalysisError, match=r"predictions\.parquet is cut short or damaged .*; delete it"):
        answers_of(*map(open_run, made))


def test_a_regression_has_no_right_and_wrong(
    train: Callable[..., Path], cache_of: Callable[..., TeacherCache], tmp_path: Path, armada: Path
) -> None:
    rows = [
        Example(
            id=f"{i}", task="movie-rating", split=s, fields={"text": "fine"}, label=Label(value=float(i % 3))
        )
        for i, s in enumerate(["train"] * 20 + ["validation"] * 6)
    ]
    cache = cache_of(tmp_path / "cache", rows, represent=lambda example, width: np.ones(width, np.float32))
    run = open_run(train(cache, task="movie-rating", method="undistilled", epochs=1))
    with pytest.raises(AnalysisError, match=r"movie-rating is measured by pearson: .* near or far"):
        answers_of(run, run)
    with pytest.raises(AnalysisError, match=r"is of task movie-sentiment, .* of movie-rating; give two"):
        answers_of(open_run(armada), run)
