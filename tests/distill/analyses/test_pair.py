import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from distill.analyses.__main__ import analyses
from distill.analyses.answers import Answers
from distill.analyses.finished import open_run
from distill.analyses.measures import measures
from distill.analyses.pair import Pair, open_pair
from distill.analyses.separation import centroid_distance, purity, silhouette
from distill.analyses.states import student_states
from schemas.cache import TeacherCache
from schemas.tasks import find_task

RANDOM = np.random.default_rng(0)
near = pytest.approx


@pytest.fixture
def made() -> Pair:
    """Thirty rows: the distilled student is wrong on the last six, the undistilled on the first ten."""
    gold = RANDOM.integers(2, size=30)
    wrong = [np.arange(30) >= 24, np.arange(30) < 10]
    answers = Answers(
        task=find_task("movie-sentiment"),
        ids=tuple(map(str, range(30))),
        gold=gold.tolist(),
        distilled=(gold ^ wrong[0]).tolist(),
        undistilled=(gold ^ wrong[1]).tolist(),
        distilled_right_R=~wrong[0],
        undistilled_right_R=~wrong[1],
    )
    return Pair(answers, {name: RANDOM.normal(size=(30, 4)) for name in ("undistilled", "distilled")})


def test_every_measure_is_of_its_own_rows_and_labels(made: Pair) -> None:
    found = {(one.tower, one.what): one.value for one in measures(made)}
    classes, states = np.array(made.answers.gold), made.states["distilled"]

    assert len(found) == 12
    assert found["distilled", "silhouette, scenario 1"] == near(silhouette(states[:10], classes[:10], ""))
    assert found["distilled", "silhouette, scenario 2"] == near(silhouette(states[24:], classes[24:], ""))
    distances = centroid_distance(states, classes)
    assert found["distilled", "distance to the class centroid, scenario 1"] == near(distances[:10].mean())
    assert found["distilled", "purity by gold class"] == purity(states, classes)
    assert found["distilled", "purity by being right"] == purity(states, np.arange(30) < 24)
    assert found["undistilled", "purity by being right"] == purity(
        made.states["undistilled"], np.arange(30) >= 10
    )


def test_what_cannot_be_made_says_why(made: Pair) -> None:
    alike = replace(made, answers=replace(made.answers, distilled_right_R=made.answers.undistilled_right_R))
    found = {(one.tower, one.what): one for one in measures(alike)}

    one = found["distilled", "silhouette, scenario 1"]
    assert one.value is None
    assert (one.reason or "").startswith(
        "scenario 1: 0 rows of 0 classes, wanted rows of at least two classes"
    )
    assert found["distilled", "distance to the class centroid, scenario 2"].value is None
    assert found["distilled", "purity by gold class"].value is not None


def test_towers_have_the_rows_of_the_answers(armada: Path, undistilled: Path, cache: TeacherCache) -> None:
    pair = open_pair(armada, undistilled, cache)

    assert {name: states.shape for name, states in pair.states.items()} == {
        "undistilled": (32, 16),
        "distilled": (32, 16),
        "aligner": (32, 16),
    }
    assert (
        pair.states["undistilled"] == student_states(open_run(undistilled), cache).of(pair.answers.ids)
    ).all()


def test_the_command_prints_measures_and_writes_rows_and_points(
    armada: Path, undistilled: Path, cache: TeacherCache, tmp_path: Path
) -> None:
    arguments = [str(armada), str(undistilled), "--shards", str(cache.folder)]
    said = CliRunner().invoke(analyses, arguments, catch_exceptions=False).stdout
    assert said.startswith("32 rows: the distilled student alone is right on ")
    assert said.count("\n") == 13
    as_json = [*arguments, "--out", str(tmp_path / "out"), "--json"]
    summary = json.loads(CliRunner().invoke(analyses, as_json, catch_exceptions=False).stdout)

    assert len(summary["measures"]) == 12
    rows = [pl.read_csv(tmp_path / "out" / f"scenario-{number}.csv").height for number in (1, 2)]
    assert rows == [summary["scenario 1"], summary["scenario 2"]]
    points = pl.read_csv(tmp_path / "out" / "tsne.csv")
    assert points.shape == (32, 8)
    assert points.columns[2:4] == ["undistilled x", "undistilled y"]


def test_runs_that_are_no_twins_are_told(
    armada: Path, train: Callable[..., Path], cache: TeacherCache
) -> None:
    other = train(cache, method="undistilled", epochs=1, seed=2)
    arguments = [str(armada), str(other), "--shards", str(cache.folder)]
    said = CliRunner().invoke(analyses, arguments, catch_exceptions=False)

    assert said.stderr == "the runs are no twins: they differ in epochs, seed\n"


def test_a_seed_that_no_generator_takes_is_refused(armada: Path, cache: TeacherCache) -> None:
    arguments = [str(armada), str(armada), "--shards", str(cache.folder), "--seed", "-1"]
    said = CliRunner().invoke(analyses, arguments)

    assert said.exit_code == 2
    assert "-1 is not in the range" in said.stderr


def test_the_command_fails_in_one_line(tmp_path: Path, cache: TeacherCache) -> None:
    start = [sys.executable, "-m", "distill.analyses", str(tmp_path), str(tmp_path), "--shards"]
    done = subprocess.run([*start, str(cache.folder)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("no run.json, so no finished run; run distill --out " + str(tmp_path) + "\n")
    assert done.stderr.count("\n") == 1
