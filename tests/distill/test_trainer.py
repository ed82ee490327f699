import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.config import RunConfig, resolve
from distill.disciplines import CLASSIFYING, DISCIPLINES
from distill.trainer import fit
from distill.weights import digest_of_student
from schemas.cache import TeacherCache
from schemas.errors import CacheError, ConfigError, StudentError
from schemas.result import RunResult, read_result
from schemas.tasks import LabelKind

Fit = Callable[..., RunResult]


@pytest.fixture
def configure(tiny_student: Path) -> Callable[..., RunConfig]:
    def make(**given: Any) -> RunConfig:
        small = {"batch_size": 8, "lr": 1e-3, "max_length": 32, "precision": "fp32", "device": "cpu"}
        if given.get("method") != "undistilled":
            small |= {"hidden_dim": 16}
        return resolve({"task": "movie-sentiment", "student": str(tiny_student), **small, **given}, "audio")

    return make


@pytest.fixture(scope="module")
def trained(
    cache: TeacherCache, tiny_student: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("run")
    options = {
        "batch_size": 8,
        "lr": 1e-2,
        "aligner_lr": 5e-3,
        "alpha": 0.2,
        "max_length": 32,
        "precision": "fp32",
        "epochs": 3,
        "hidden_dim": 16,
    }
    run = resolve({"task": "movie-sentiment", "student": str(tiny_student), **options}, "audio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("ARMADA_CACHE_DIR", str(folder / "armada"))
        return folder, fit(run, cache, folder, quiet=True)


def logged(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [step for step in map(json.loads, lines) if "step" in step]


def test_the_choice_of_each_epoch_is_logged(trained: tuple[Path, RunResult]) -> None:
    lines = map(json.loads, (trained[0] / "metrics.jsonl").read_text().splitlines())
    choices = [line for line in lines if "step" not in line]
    assert [choice["epoch"] for choice in choices] == [1, 2, 3]
    assert max(choice["selection/accuracy"] for choice in choices) == trained[1].selection["value"]
    assert not (trained[0] / "checkpoint").exists()


def test_result_is_whole(trained: tuple[Path, RunResult], cache: TeacherCache) -> None:
    folder, result = trained
    assert read_result(folder) == result
    assert set(result.metrics) == {"student", "student_aux", "aligner", "aligner_aux", "majority"}
    assert result.num_rows == {"train": 86, "select": 10, "report": 32}
    assert result.cache.digest == cache.manifest.digest
    assert result.protocol == "held-out"
    assert {"data", "aligner", "student", "selection", "report", "export", "total"} <= set(result.seconds)
    assert result.num_parameters["student_trainable"] > result.num_parameters["aligner_trainable"] > 0
    assert result.peak_memory_bytes["process"] > 0


def test_both_towers_learn(trained: tuple[Path, RunResult]) -> None:
    metrics = trained[1].metrics
    assert metrics["student"]["accuracy"] > metrics["majority"]["accuracy"] + 0.2
    assert metrics["aligner_aux"]["accuracy"] > metrics["majority"]["accuracy"] + 0.2


def test_each_step_logs_its_named_terms(trained: tuple[Path, RunResult]) -> None:
    steps = logged(trained[0])
    aligner, student = [s for s in steps if "aligner/total" in s], [s for s in steps if "student/total" in s]
    assert len(aligner) == len(student) == 3 * 11
    assert set(aligner[0]) == {"epoch", "step", "aligner/total", "aligner/task", "aligner/task_aux"}
    terms = {"task", "match", "task_aux", "match_aux", "manifold", "total"}
    assert set(student[0]) == {"epoch", "step", *(f"student/{term}" for term in terms)}


def test_passes_alternate(trained: tuple[Path, RunResult]) -> None:
    towers = ["aligner" if "aligner/total" in step else "student" for step in logged(trained[0])]
    assert towers == (["aligner"] * 11 + ["student"] * 11) * 3


def test_the_saved_student_is_plain_and_answers_the_same(
    trained: tuple[Path, RunResult], cache: TeacherCache
) -> None:
    folder, _ = trained
    model = AutoModelForSequenceClassification.from_pretrained(folder / "student")
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    assert model.config.id2label == {0: "negative", 1: "positive"}
    rows = [row for _, shard in cache.shards("validation") for row in shard.read().to_pylist()]
    table = pq.read_table(folder / "predictions.parquet").to_pylist()
    assert [row["example_id"] for row in table] == [row["example_id"] for row in rows]
    assert [row["label"] for row in table] == [row["class_ids"][0] for row in rows]
    texts = [row["fields"][0]["text"] for row in rows]
    with torch.no_grad():
        logits = model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    assert torch.allclose(logits, torch.tensor([row["logits"] for row in table]), atol=1e-5)
    assert logits.argmax(1).tolist() == [row["predicted"] for row in table]
    assert all(sum(row["probabilities"]) == pytest.approx(1) for row in table)


def test_model_card_tells_where_it_comes_from(trained: tuple[Path, RunResult]) -> None:
    card = (trained[0] / "student" / "README.md").read_text()
    assert "library_name: transformers" in card
    assert "`test:numbers`" in card
    assert f"{trained[1].metrics['student']['accuracy']:.3f}" in card
    assert f"digest\n`{trained[1].cache.digest[:16]}`" in card
    assert "\n    manifold = euclid\n" in card
    lines = [line.strip() for line in card.splitlines() if "from_pretrained" in line or "import" in line]
    assert len(lines) == 3
    exec("\n".join(lines).replace("FOLDER", str(trained[0] / "student")), {})


def test_no_path_of_the_machine_stays_in_the_result_and_the_student(
    trained: tuple[Path, RunResult], cache: TeacherCache, tiny_student: Path
) -> None:
    folder, result = trained
    assert result.config["student"] == tiny_student.name
    assert result.student_digest == digest_of_student(str(tiny_student))
    files = [folder / "run.json", folder / "metrics.jsonl", *(folder / "student").iterdir()]
    for place in (folder, cache.folder, tiny_student):
        assert not [file for file in files if str(place).encode() in file.read_bytes()]


def test_nothing_is_pickled(trained: tuple[Path, RunResult]) -> None:
    assert not [file for file in trained[0].rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_seed_gives_one_loss(
    configure: Callable[..., RunConfig], cache: TeacherCache, tmp_path: Path, precision: str
) -> None:
    histories = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        fit(configure(precision=precision, epochs=1, seed=seed), cache, tmp_path / name, quiet=True)
        histories.append(logged(tmp_path / name))
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]


def test_without_distillation_terms_the_student_is_the_undistilled_one(
    configure: Callable[..., RunConfig], cache: TeacherCache, tmp_path: Path
) -> None:
    runs = {
        "distilled": configure(epochs=1, alpha=0.0, beta=0.0, gamma=0.0),
        "undistilled": configure(epochs=1, method="undistilled"),
    }
    first = []
    for name, run in runs.items():
        (tmp_path / name).mkdir()
        fit(run, cache, tmp_path / name, quiet=True)
        first.append(next(step["student/task"] for step in logged(tmp_path / name) if "student/task" in step))
    assert first[0] == first[1]


def test_undistilled_works_without_a_teacher(
    configure: Callable[..., RunConfig], make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    bare = make_cache(tmp_path / "cache", width=None)
    result = fit(configure(method="undistilled"), bare, tmp_path / "out", quiet=True)
    assert set(result.metrics) == {"student", "majority"}
    assert not (tmp_path / "out" / "aligner.safetensors").exists()
    with pytest.raises(CacheError, match=r"0 of those with a representation.*--method undistilled"):
        fit(configure(standardise=False), bare, tmp_path / "out", quiet=True)


def test_too_few_rows_name_what_this_method_needs(
    configure: Callable[..., RunConfig], make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    one = make_cache(tmp_path / "cache", train=1, validation=4)
    with pytest.raises(CacheError, match=r"1 with a label; wanted at least 2; give another cache$"):
        fit(configure(method="undistilled"), one, tmp_path, quiet=True)
    with pytest.raises(CacheError, match=r"1 of those with a representation; .* --method undistilled"):
        fit(configure(), one, tmp_path, quiet=True)


def test_rows_without_a_representation_are_left_out_and_told(
    configure: Callable[..., RunConfig], make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    partly = make_cache(
        tmp_path / "cache", taught=lambda row: row.split == "train" and not row.id.endswith("7")
    )
    result = fit(configure(epochs=1), partly, tmp_path / "out", quiet=True)
    assert result.num_rows["train"] + result.num_rows["select"] == 96 - 9
    assert set(result.metrics) == {"student", "student_aux", "majority"}
    assert result.notes == (
        "9 training rows without a representation were left out",
        "reported rows without a representation: the aligner was not measured",
    )


def test_the_best_epoch_wins_only_when_strictly_better(
    configure: Callable[..., RunConfig],
    cache: TeacherCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = iter([0.5, 0.7, 0.7, 0.6])
    measuring = replace(CLASSIFYING, measure=lambda *_: {"accuracy": next(values)})
    monkeypatch.setitem(DISCIPLINES, LabelKind.SINGLE, measuring)
    result = fit(configure(epochs=4), cache, tmp_path, quiet=True)
    assert result.selection == {"epoch": 2, "metric": "accuracy", "value": 0.7}


def test_what_is_reported_is_the_chosen_checkpoint(
    configure: Callable[..., RunConfig],
    cache: TeacherCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "three").mkdir()
    fit(configure(epochs=1), cache, tmp_path / "one", quiet=True)
    values = iter([0.9, 0.1, 0.1])
    measuring = replace(CLASSIFYING, measure=lambda *_: {"accuracy": next(values)})
    monkeypatch.setitem(DISCIPLINES, LabelKind.SINGLE, measuring)
    fit(configure(epochs=3), cache, tmp_path / "three", quiet=True)
    for name in ("student/model.safetensors", "aligner.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_a_loss_that_is_not_finite_stops_with_the_examples(
    configure: Callable[..., RunConfig], cache: TeacherCache, tmp_path: Path
) -> None:
    with pytest.raises(StudentError, match=r"epoch 1, step \d+: student/\w+ is (nan|inf).*train-0"):
        fit(configure(lr=1e30), cache, tmp_path, quiet=True)
    assert not (tmp_path / "run.json").exists()


def test_limit_train(configure: Callable[..., RunConfig], cache: TeacherCache, tmp_path: Path) -> None:
    result = fit(configure(limit_train=20, epochs=1), cache, tmp_path, quiet=True)
    assert result.num_rows == {"train": 20, "select": 10, "report": 32}


def test_refuses_more_tokens_than_the_student_has_places(
    configure: Callable[..., RunConfig], cache: TeacherCache, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--max-length 65: wanted at most 64"):
        fit(configure(max_length=65), cache, tmp_path, quiet=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_asked_for_and_absent_is_refused(
    configure: Callable[..., RunConfig], cache: TeacherCache, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--device cuda: no CUDA device here"):
        fit(configure(device="cuda"), cache, tmp_path, quiet=True)


def test_orthogonal_through_training(
    configure: Callable[..., RunConfig], cache: TeacherCache, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    fit(replace(configure(manifold_dim=20), epochs=1), cache, tmp_path, quiet=True)
    weight = load_file(tmp_path / "aligner.safetensors")["projection.weight"]
    assert weight.shape == (20, 12)
    assert (weight.T @ weight - torch.eye(12)).abs().max() < 1e-5
