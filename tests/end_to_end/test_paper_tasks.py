"""One task of each family of the paper, from its publisher's files to a student, with tiny models."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from distill.again import predict
from distill.config import resolve
from distill.trainer import fit
from schemas.cache import TeacherCache, open_cache
from schemas.result import RunResult
from schemas.tasks import TASKS
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from tests.tiny_texts import write_bert, write_llama
from tests.tiny_vision import png_of, write_resnet

WORDS = (
    "warm",
    "cold",
    "fine",
    "dull",
    "great",
    "poor",
    "slow",
    "film",
    "what",
    "was",
    "the",
    "cause",
    "effect",
)
SMALL = {
    "epochs": 1,
    "batch_size": 8,
    "max_length": 160,
    "precision": "fp32",
    "device": "cpu",
    "hidden_dim": 8,
}
Learn = Callable[..., tuple[TeacherCache, Path, RunResult]]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"), (*WORDS, ".", "?"))


@pytest.fixture
def learn(tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch) -> Learn:
    """Cache what a tiny teacher says of a folder's files, and train a tiny student beside an aligner."""
    monkeypatch.setenv("ARMADA_CACHE_DIR", str(tmp_path / "tokens"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

    def run(
        task: str, source: Path, teacher: Path = bert, student: Path = bert, **options: Any
    ) -> tuple[TeacherCache, Path, RunResult]:
        config = CacheConfig(
            model=f"transformers:{teacher}",
            store=("repr",),
            task=task,
            source=source,
            out=tmp_path / "shards",
            quiet=True,
        )
        assert cache_teacher(config)["errors"] == 0
        cache = open_cache(tmp_path / "shards")
        given = {"task": task, "student": str(student), **SMALL, **options}
        (tmp_path / "run").mkdir()
        return cache, tmp_path / "run", fit(resolve(given, "text"), cache, tmp_path / "run", quiet=True)

    return run


def text(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS[:8], k=4)) + " ."


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def json_lines(rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_classes_of_glue_with_an_unlabelled_test(tmp_path: Path, learn: Learn) -> None:
    draw = random.Random(0)
    for name, count in (("train", 40), ("dev", 12)):
        write(
            tmp_path / f"glue/CoLA/{name}.tsv",
            "".join(f"s\t{i % 2}\t\t{text(draw)}\n" for i in range(count)),
        )
    write(tmp_path / "glue/CoLA/test.tsv", "index\tsentence\n0\tfilm .\n")
    cache, folder, result = learn("glue/cola", tmp_path / "glue")

    assert result.selection["metric"] == "matthews"
    assert result.num_rows == {"train": 36, "select": 4, "report": 12}
    assert (result.config["lr"], result.config["aligner_lr"]) == (2e-5, 3e-3)
    assert cache.manifest.request.splits == {"train": 40, "validation": 12, "test": 1}
    (_, shard), *_ = cache.shards("test")
    assert shard.read(["class_ids"]).column(0).to_pylist() == [[]]
    assert json.loads((folder / "student/config.json").read_text())["id2label"]["0"] == "unacceptable"


def test_numbers_of_glue(tmp_path: Path, learn: Learn) -> None:
    draw = random.Random(0)
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    for name, count in (("train", 40), ("dev", 12)):
        rows = [
            f"{i}\tm\tf\t1\t1\tn\tn\t{text(draw)}\t{text(draw)}\t{5 * i / count:.3f}\n" for i in range(count)
        ]
        write(tmp_path / f"glue/STS-B/{name}.tsv", header + "".join(rows))
    _, folder, result = learn("glue/stsb", tmp_path / "glue")

    assert set(result.metrics["student"]) == {"pearson", "spearman"}
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    assert [row["label"] for row in rows] == pytest.approx([5 * i / 12 for i in range(12)], abs=1e-3)
    assert all(0 <= row["predicted"] <= 5 for row in rows)


def test_a_pair_of_superglue_shows_the_student_every_field(tmp_path: Path, learn: Learn, bert: Path) -> None:
    from distill.pretrained import load_tokenizer
    from distill.tokens import tokenised

    draw = random.Random(0)
    for name, count in (("train", 24), ("val", 8)):
        rows = [
            {"premise": text(draw), "choice1": text(draw), "choice2": text(draw)}
            | {"question": ("cause", "effect")[i % 2], "label": i % 2, "idx": i}
            for i in range(count)
        ]
        write(tmp_path / f"superglue/COPA/{name}.jsonl", json_lines(rows))
    cache, _, result = learn("superglue/copa", tmp_path / "superglue")

    assert result.config["batch_size"] == 8
    tokenizer, task = load_tokenizer(str(bert)), TASKS["superglue/copa"]
    tokens = tokenised(cache, "validation", tokenizer, task.student_templates, 160)
    said = tokenizer.convert_ids_to_tokens(tokens.rows("input_ids", torch.tensor([0]).numpy())[0])
    row = rows[0]
    question = f"{row['premise']} what was the cause ?"
    assert said == f"[CLS] {question} [SEP] {row['choice1']} {row['choice2']} [SEP]".split()


def test_both_sets_of_mnli_are_measured_apart(tmp_path: Path, learn: Learn) -> None:
    draw = random.Random(0)
    names = TASKS["glue/mnli"].classes
    for name, count in (("train", 24), ("dev_matched", 6), ("dev_mismatched", 9)):
        rows = [f"{text(draw)}\t{text(draw)}\t{names[i % 3]}\n" for i in range(count)]
        write(tmp_path / f"MNLI/{name}.tsv", "sentence1\tsentence2\tgold_label\n" + "".join(rows))
    _, folder, result = learn("glue/mnli", tmp_path)

    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    right = {
        part: [row["label"] == row["predicted"] for row in rows if row["example_id"].startswith(f"{part}/")]
        for part in ("matched", "mismatched")
    }
    assert [len(part) for part in right.values()] == [6, 9]
    for head in ("student", "majority", "aligner"):
        assert set(result.metrics[head]) >= {"accuracy", "accuracy/matched", "macro_f1/mismatched"}
    found = result.metrics["student"]
    for part, rows_right in right.items():
        assert found[f"accuracy/{part}"] == pytest.approx(sum(rows_right) / len(rows_right))
    assert found["accuracy"] == pytest.approx(sum(map(sum, right.values())) / 15)


def test_genres_of_films_whose_posters_the_teacher_saw(tmp_path: Path, learn: Learn, bert: Path) -> None:
    draw = random.Random(0)
    films = [f"{number:07d}" for number in range(40)]
    write(
        tmp_path / "films/split.json",
        json.dumps({"train": films[:28], "dev": films[28:36], "test": films[36:]}),
    )
    for film in films:
        genres = ["Drama", draw.choice(["War", "Comedy"])] if int(film) % 7 else ["Western"]
        write(tmp_path / f"films/dataset/{film}.json", json.dumps({"genres": genres, "plot": [text(draw)]}))
        (tmp_path / f"films/dataset/{film}.jpeg").write_bytes(png_of(film))
    cache, folder, result = learn(
        "mm-imdb", tmp_path / "films", write_resnet(tmp_path / "resnet"), lr=3e-2, epochs=4
    )

    assert set(result.metrics["student"]) == {"micro_f1", "macro_f1", "accuracy"}
    assert result.selection["metric"] == "micro_f1"
    assert cache.manifest.teacher.repr_dim == 20
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    assert all(len(row["predicted"]) == len(row["label"]) == 23 for row in rows)
    assert json.loads((folder / "student/config.json").read_text())["problem_type"] == (
        "multi_label_classification"
    )
    plots = [
        row["fields"][0]["text"]
        for _, shard in cache.shards("validation")
        for row in shard.read().to_pylist()
    ]
    write(tmp_path / "plots.jsonl", json_lines({"plot": plot} for plot in plots))
    run = resolve({"task": "mm-imdb", "student": str(bert), **SMALL}, "image")
    answered = pq.read_table(predict(run, cache, folder, tmp_path / "plots.jsonl")).to_pylist()
    assert [row["predicted"] for row in answered] == [row["predicted"] for row in rows]
    assert any("Drama" in row["classes"] for row in answered)
    genres = TASKS["mm-imdb"].classes
    assert [row["classes"] for row in answered] == [
        [genre for genre, said in zip(genres, row["predicted"], strict=True) if said] for row in rows
    ]


def test_a_mixture_of_reasoning_is_learnt_once_and_measured_on_each_set(tmp_path: Path, learn: Learn) -> None:
    def choice(number: int) -> dict[str, str]:
        answer = f"answer{1 + number % 2}"
        return {
            "instruction": f"Which? {number}\n\nAnswer format: answer1/answer2",
            "input": "",
            "output": f"the correct answer is {answer}",
            "answer": answer,
        }

    root = tmp_path / "adapters"
    write(root / "ft-training_set/commonsense_15k.json", json.dumps([choice(i // 12) for i in range(18)]))
    folders = ("hellaswag", "winogrande", "ARC-Challenge", "ARC-Easy", "openbookqa")
    for count, name in enumerate(folders, 1):
        write(root / f"dataset/{name}/test.json", json.dumps([choice(i) for i in range(count)]))
    student = write_llama(tmp_path / "llama")
    _, folder, result = learn("reasoning/commonsense", root, student=student, max_new_tokens=4)

    parts = TASKS["reasoning/commonsense"].parts
    names = {f"{metric}/{part}" for metric in ("exact_answer", "rouge_l") for part in parts}
    assert set(result.metrics["student"]) == {"exact_answer", "rouge_l", *names}
    # The commonest answer to learn is answer1, which each set has first and then every second time.
    majority = result.metrics["majority"]
    assert [majority[f"exact_answer/{part}"] for part in parts] == pytest.approx(
        [1, 1 / 2, 2 / 3, 1 / 2, 3 / 5]
    )
    assert majority["exact_answer"] == pytest.approx(9 / 15)
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    assert [row["label"] for row in rows if row["example_id"].startswith("arc-c/")] == [
        "answer1",
        "answer2",
        "answer1",
    ]
