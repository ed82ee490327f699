"""How good texts are beside their references."""

import numpy as np
import pytest

from distill.text_metrics import measure_texts, rouge_l
from schemas.tasks import TASKS

SAID = ["The cat sat on the mat.", "Dogs running", "", "the correct answer is answer2"]
WANTED = ["A cat was sitting on the mat.", "the dog runs", "something", "answer2"]


def test_rouge_l_is_the_packages_own() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    wanted = [
        scorer.score(reference, said)["rougeL"].fmeasure for reference, said in zip(WANTED, SAID, strict=True)
    ]

    assert rouge_l(TASKS["instructions/all"], SAID, WANTED) == pytest.approx(wanted)
    # "cat ... on the mat" of 6 words said and 7 wanted; stems make "dog run" of both.
    assert wanted[:3] == pytest.approx(
        [2 * (4 / 6) * (4 / 7) / (4 / 6 + 4 / 7), 2 * (2 / 2) * (2 / 3) / (5 / 3), 0]
    )


def test_an_answer_is_taken_out_of_a_text_by_the_tasks_own_rule() -> None:
    assert measure_texts(TASKS["reasoning/commonsense"], SAID, WANTED)["exact_answer"] == 0.25
    assert measure_texts(TASKS["instructions/all"], SAID, WANTED)["exact_answer"] == 0


def test_parts_are_means_over_their_own_rows() -> None:
    parts = {"first": np.array([True, True, False, False]), "last": np.array([False, False, False, True])}
    found = measure_texts(TASKS["reasoning/commonsense"], SAID, WANTED, parts)
    rouge = rouge_l(TASKS["reasoning/commonsense"], SAID, WANTED)

    assert set(found) == {
        f"{metric}{part}" for metric in ("exact_answer", "rouge_l") for part in ("", "/first", "/last")
    }
    assert (found["exact_answer/first"], found["exact_answer/last"]) == (0, 1)
    assert found["rouge_l/first"] == pytest.approx(rouge[:2].mean())
    assert found["rouge_l"] == pytest.approx(rouge.mean())
