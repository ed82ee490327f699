"""Whole small trainings on every kind of label, on pairs, and with every kind of student."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.config import resolve
from distill.pooling import ENCODERS
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.example import Example, Label
from schemas.result import RunResult
from schemas.tasks import TASKS, LabelKind, TaskSpec

# Words that the tiny tokenizer knows, with what they are worth; a text is worth their mean.
WORTH = {"warm": 2.0, "great": 4.0, "fine": 1.0, "cold": -2.0, "hated": -4.0, "slow": -1.0, "film": 0.0}
WORDS = tuple(WORTH)
TAGS = TaskSpec(
    name="made-tags",
    fields=("text",),
    label_kind=LabelKind.MULTI,
    classes=("warm", "slow", "great"),
    metric="micro_f1",
)
PAIRS = TaskSpec(
    name="made-pairs",
    fields=("first", "second"),
    label_kind=LabelKind.SINGLE,
    classes=("no", "yes"),
    metric="accuracy",
    student_templates=("{first}", "{second}"),
)
SMALL = {"epochs": 6, "batch_size": 16, "lr": 1e-2, "aligner_lr": 1e-2, "max_length": 32, "hidden_dim": 16}
UNDISTILLED = {"method": "undistilled", "aligner_lr": None, "hidden_dim": None}
Fit = Callable[..., tuple[Path, RunResult]]
Draw = Callable[[np.random.Generator], tuple[dict[str, str], Label]]


@pytest.fixture
def train(
    cache_of: Callable[..., TeacherCache],
    make_tiny: Callable[[Path, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Fit:
    def run(task: str, draw: Draw, kind: str = "bert", **given: Any) -> tuple[Path, RunResult]:
        for spec in (TAGS, PAIRS):
            monkeypatch.setitem(TASKS, spec.name, spec)
        (tmp_path / "student").mkdir()
        (tmp_path / "out").mkdir()
        student = make_tiny(tmp_path / "student", kind)
        rows = [*examples(task, "train", 160, draw), *examples(task, "validation", 80, draw)]
        cache = cache_of(tmp_path / "cache", rows, represent=represent)
        options = {"task": task, "student": str(student), "precision": "fp32", **SMALL, **given}
        return tmp_path / "out", fit(resolve(options, "audio"), cache, tmp_path / "out", quiet=True)

    return run


def examples(task: str, split: str, count: int, draw: Draw) -> list[Example]:
    random = np.random.default_rng(len(split))
    drawn = [draw(random) for _ in range(count)]
    return [
        Example(id=f"{split}-{index}", task=task, split=split, fields=fields, label=label)
        for index, (fields, label) in enumerate(drawn)
    ]


def represent(example: Example, width: int) -> NDArray[np.float32]:
    """Noise, with the label in its first values."""
    values = np.random.default_rng(sum(example.id.encode())).normal(size=width).astype(np.float32)
    values[list(example.label.class_ids)] += 4
    values[0] += 4 * (example.label.value or 0)
    return values


def text_of(random: np.random.Generator) -> str:
    return " ".join(random.choice(WORDS, size=3))


def rated(random: np.random.Generator) -> tuple[dict[str, str], Label]:
    text = text_of(random)
    return {"text": text}, Label(value=sum(WORTH[word] for word in text.split()) / 3)


def tagged(random: np.random.Generator) -> tuple[dict[str, str], Label]:
    text = text_of(random)
    return {"text": text}, Label(class_ids=tuple(i for i, tag in enumerate(TAGS.classes) if tag in text))


def paired(random: np.random.Generator) -> tuple[dict[str, str], Label]:
    first, second = text_of(random), text_of(random)
    worth = [sum(WORTH[word] for word in text.split()) for text in (first, second)]
    return {"first": first, "second": second}, Label(class_ids=(int(worth[1] > 0),))


def exported_logits(folder: Path, texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """What plain transformers answers, told nothing of us."""
    model = AutoModelForSequenceClassification.from_pretrained(folder / "student").eval()
    tokens = AutoTokenizer.from_pretrained(folder / "student")(*texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**tokens).logits.numpy()


@pytest.mark.parametrize("method", ["undistilled", "armada"])
def test_a_number_is_learnt_and_clipped_to_its_range(train: Fit, method: str) -> None:
    folder, result = train("movie-rating", rated, **({} if method == "armada" else UNDISTILLED))
    assert set(result.metrics["student"]) == {"pearson", "spearman"}
    assert result.metrics["student"]["pearson"] > 0.8
    assert result.metrics["majority"] == {"pearson": 0.0, "spearman": 0.0}
    assert result.selection["metric"] == "pearson"
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    outputs = np.array([row["logits"][0] for row in rows])
    assert [row["predicted"] for row in rows] == pytest.approx(outputs.clip(-4, 4))
    assert all(row["probabilities"] is None for row in rows)
    model = AutoModelForSequenceClassification.from_pretrained(folder / "student")
    assert (model.config.problem_type, model.config.id2label) == ("regression", {0: "value"})


def test_several_classes_are_learnt(train: Fit) -> None:
    folder, result = train(TAGS.name, tagged)
    assert set(result.metrics["student"]) == {"micro_f1", "macro_f1", "accuracy"}
    assert result.metrics["student"]["micro_f1"] > result.metrics["majority"]["micro_f1"] + 0.2
    assert result.metrics["aligner"]["micro_f1"] > result.metrics["majority"]["micro_f1"] + 0.2
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    for row in rows:
        assert row["predicted"] == [int(share > 0.5) for share in row["probabilities"]]
        assert row["label"] in (
            [float(a), float(b), float(c)] for a in (0, 1) for b in (0, 1) for c in (0, 1)
        )
    config = AutoModelForSequenceClassification.from_pretrained(folder / "student").config
    assert config.problem_type == "multi_label_classification"


@pytest.mark.parametrize("aligner", ["reference", "paper"])
@pytest.mark.parametrize("kind", list(ENCODERS))
def test_a_pair_is_encoded_as_one(train: Fit, kind: str, aligner: str) -> None:
    folder, result = train(PAIRS.name, paired, kind, aligner=aligner, epochs=2)
    drawn = [row.fields for row in examples(PAIRS.name, "validation", 80, paired)]
    firsts, seconds = [row["first"] for row in drawn], [row["second"] for row in drawn]
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    logits = np.array([row["logits"] for row in rows])
    assert logits == pytest.approx(exported_logits(folder, (firsts, seconds)), abs=1e-5)
    turned = exported_logits(folder, (seconds, firsts))
    assert np.abs(logits - turned).max() > 1e-4
    assert result.metrics["student"]["accuracy"] >= 0.4
