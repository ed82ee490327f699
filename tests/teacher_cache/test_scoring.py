"""Answers to score: the task's own, or another cache's, by id."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.answer import Answer, Usage
from schemas.errors import CacheError, ConfigError, ManifestError, SourceError
from schemas.example import Example, Label
from schemas.manifest_file import read_manifest
from schemas.rows import decode
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import Plan, make_plan
from teacher_cache.scoring import noting_cuts, reference_answer, score_identity, with_answers_to_score

Prompts = Callable[..., Path]
Run = Callable[..., dict[str, Any]]
MOVIES = TASKS["movie-sentiment"]


def row(name: str, **label: Any) -> Example:
    return Example(id=name, task=MOVIES.name, split="train", fields={"text": name}, label=Label(**label))


def plan(file: Path, **options: Any) -> Plan:
    return make_plan(CacheConfig(model="none", prompts=file, **options))


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ({"class_ids": (1,)}, "positive"),
        ({"class_ids": (0, 1)}, "negative, positive"),
        ({"value": -2.5}, "-2.5"),
        ({"value": 3.0}, "3"),
        ({"target_text": "4"}, "4"),
        ({}, None),
    ],
)
def test_the_right_answer_as_a_text(label: dict[str, Any], wanted: str | None) -> None:
    assert reference_answer(row("a", **label), MOVIES) == wanted


def test_a_row_without_an_answer_stays_without() -> None:
    one, two = with_answers_to_score([row("a", class_ids=(0,)), row("b")], MOVIES, "reference")

    assert (one.answer_to_score, two.answer_to_score) == ("negative", None)


def test_an_answer_that_was_cut_short_stays_so_when_it_is_scored() -> None:
    rows = [replace(row("a"), answer_was_cut=True), replace(row("b"), answer_was_cut=True), row("c")]
    answers = [Answer(usage=Usage(3, 0)), Answer(error="too long"), Answer(usage=Usage(3, 0))]

    noted = noting_cuts(rows, answers)

    assert noted[0] == Answer(usage=Usage(3, 0), finish_reason="length")
    assert noted[1:] == answers[1:]


def test_no_answer_at_all_is_refused() -> None:
    with pytest.raises(SourceError, match=r"--score reference: it has no answer to any of the 1 examples"):
        with_answers_to_score([row("a")], MOVIES, "reference")


def test_texts_of_another_cache_are_joined_by_id(run: Run, prompts: Prompts, tmp_path: Path) -> None:
    run(prompts(20), store=("text", "repr"), out=tmp_path / "other", limit=15)
    made = plan(prompts(20), score=str(tmp_path / "other"))

    said = {
        row.example.id: row.answer.texts[0]
        for path in (tmp_path / "other").glob("*.parquet")
        for row in decode(pq.read_table(path))
        if row.answer is not None and row.answer.texts is not None
    }
    assert len(said) == 15
    assert {e.id: e.answer_to_score for e in made.examples if e.answer_to_score is not None} == said
    digest = read_manifest(tmp_path / "other").digest
    assert score_identity(str(tmp_path / "other")) == f"other@{digest}"


def test_a_cache_without_texts_is_refused(run: Run, prompts: Prompts, tmp_path: Path) -> None:
    run(prompts(10), store=("repr",))

    with pytest.raises(
        ConfigError, match=r"it stores repr, texts are wanted; give one made with --store text"
    ):
        plan(prompts(10), score=str(tmp_path / "cache"))


def test_what_is_no_cache_is_refused(prompts: Prompts, tmp_path: Path) -> None:
    with pytest.raises(CacheError):
        plan(prompts(10), score=str(tmp_path))
    with pytest.raises(ManifestError):
        score_identity(str(tmp_path / "none"))


def test_the_digest_sees_the_answers_to_score(prompts: Prompts) -> None:
    assert plan(prompts(10)).prompts_digest() != plan(prompts(10), score="reference").prompts_digest()
    assert score_identity("reference") == "reference"
