"""Metrics of generated texts: each a mean over rows of how good one text is beside its reference.

Letters: R rows.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.tasks import TaskSpec

Scores = Callable[[TaskSpec, Sequence[str], Sequence[str]], NDArray[np.float64]]


def exact_answers(task: TaskSpec, said: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """1 where a text says what its reference says, else 0, (R,); the task takes the answer from either."""
    return np.array([task.is_right(*pair) for pair in zip(said, references, strict=True)], np.float64)


def rouge_l(task: TaskSpec, said: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """F1 of the longest common subsequence of words, stemmed, 0 to 1, (R,).

    Source: Lin, ROUGE, 2004; the package rouge-score, with its own way of cutting words.
    """
    from rouge_score.rouge_scorer import RougeScorer

    del task
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    pairs = zip(references, said, strict=True)
    return np.array([scorer.score(*pair)["rougeL"].fmeasure for pair in pairs], np.float64)


TEXT_METRICS: dict[str, Scores] = {"exact_answer": exact_answers, "rouge_l": rouge_l}


def measure_texts(
    task: TaskSpec,
    said: Sequence[str],
    references: Sequence[str],
    parts: Mapping[str, NDArray[np.bool_]] | None = None,
) -> dict[str, float]:
    """Every metric of texts, by name.

    Args:
        task: takes the answers out of them.
        said: the texts.
        references: the right answers.
        parts: rows that are measured apart as well, (R,), by name: `exact_answer/hellaswag`.
    """
    scores = {name: score(task, said, references) for name, score in TEXT_METRICS.items()}
    found = {name: float(scores_R.mean()) for name, scores_R in scores.items()}
    for part, rows_R in (parts or {}).items():
        found |= {f"{name}/{part}": float(scores_R[rows_R].mean()) for name, scores_R in scores.items()}
    return found
