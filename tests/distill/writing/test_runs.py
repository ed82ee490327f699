"""Whole runs of a generative task, one for each method, on a student of two thin layers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from distill.again import measure_again, predict
from distill.config import RunConfig, resolve
from distill.paired import compare
from distill.session import Session, every_of
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.errors import CacheError, ConfigError, MismatchError, StoppedError, StudentError
from schemas.result import RunResult, read_result

TERMS = {
    "undistilled": {"task"},
    "kd": {"task", "kd"},
    "seqkd": {"task"},
    "armada": {"task", "match", "match_aux", "manifold"},
    "armada+kd": {"task", "kd", "match", "match_aux", "manifold"},
}
Configure = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def configure(writer_folder: Path) -> Configure:
    def make(**given: Any) -> RunConfig:
        small = {"batch_size": 8, "lr": 1e-2, "max_length": 32, "max_new_tokens": 4, "epochs": 2}
        if "armada" in given.get("method", "armada"):
            small["hidden_dim"] = 16
        options = {"student": str(writer_folder), "precision": "fp32", "device": "cpu", **small, **given}
        return resolve({"task": "chain-sum", **options}, "text")

    return make


@pytest.fixture(scope="module", params=list(TERMS))
def made(
    request: pytest.FixtureRequest,
    configure: Configure,
    sums_cache: TeacherCache,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[RunConfig, Path, RunResult]:
    folder = tmp_path_factory.mktemp("run")
    run = configure(method=request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("ARMADA_CACHE_DIR", str(folder / "armada"))
        return run, folder, fit(run, sums_cache, folder, quiet=True)


def steps(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if "student/total" in line]


def test_a_run_is_whole(made: tuple[RunConfig, Path, RunResult], sums_cache: TeacherCache) -> None:
    run, folder, result = made
    assert read_result(folder) == result
    assert set(result.metrics["student"]) == {"exact_answer", "rouge_l"}
    assert ("aligner" in result.metrics) is (run.distillation is not None)
    assert result.selection["metric"] == "exact_answer"
    said = pq.read_table(folder / "predictions.parquet").to_pylist()
    assert len(said) == 12
    right = sum(row["right"] for row in said) / 12
    assert result.metrics["student"]["exact_answer"] == pytest.approx(right)
    assert measure_again(run, sums_cache, folder, "validation") == pytest.approx(result.metrics["student"])


def test_its_losses_are_the_methods(made: tuple[RunConfig, Path, RunResult]) -> None:
    run, folder, _ = made
    lines = steps(folder)
    parts = {name.removeprefix("student/") for name in lines[0] if name.startswith("student/")}
    assert parts - {"total"} == TERMS[run.method]
    assert lines[-1]["student/task"] < lines[0]["student/task"]
    weights = {"task": 1.0, "kd": 1.0, "match": 0.5, "match_aux": 0.5, "manifold": 1.0}
    weights["task"] = 0.5 if run.distillation else 1.0
    total = sum(weights[name] * lines[0][f"student/{name}"] for name in TERMS[run.method])
    assert lines[0]["student/total"] == pytest.approx(total, rel=1e-5)


def test_the_student_is_a_plain_model_that_writes(made: tuple[RunConfig, Path, RunResult]) -> None:
    _, folder, _ = made
    model = AutoModelForCausalLM.from_pretrained(folder / "student").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    assert (folder / "student" / "generation_config.json").exists()
    assert "AutoModelForCausalLM" in (folder / "student" / "README.md").read_text()
    row = pq.read_table(folder / "predictions.parquet").to_pylist()[0]
    question = f"{row['example_id']}"
    assert question.startswith("validation")
    ids = torch.tensor([tokenizer("<user>1+1=<bot>", add_special_tokens=False)["input_ids"]])
    written = model.generate(ids, max_new_tokens=4, do_sample=False)
    assert written.shape[1] > ids.shape[1]


def test_answers_for_a_file(
    made: tuple[RunConfig, Path, RunResult], sums_cache: TeacherCache, tmp_path: Path
) -> None:
    run, folder, _ = made
    reported = pq.read_table(folder / "predictions.parquet").to_pylist()
    questions = {
        row["example_id"]: row["fields"][0]["text"]
        for _, shard in sums_cache.shards("validation")
        for row in shard.read().to_pylist()
    }
    rows = [{"example_id": row["example_id"], "question": questions[row["example_id"]]} for row in reported]
    source = tmp_path / "new.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"question": "1+" * 40}]))
    *answered, long = pq.read_table(predict(run, sums_cache, folder, source)).to_pylist()
    assert [row["predicted"] for row in answered] == [row["predicted"] for row in reported]
    assert long["predicted"] is None
    assert "82 tokens, --max-length is 32" in long["error"]


def test_two_runs_are_compared_by_right_answers(
    configure: Configure, sums_cache: TeacherCache, tmp_path: Path
) -> None:
    runs = []
    for method in ("undistilled", "kd"):
        folder = tmp_path / method
        folder.mkdir()
        runs.append((folder, fit(configure(method=method, epochs=1), sums_cache, folder, quiet=True)))
    comparison = compare(runs[1], runs[0])
    assert comparison is not None
    assert (comparison.test, comparison.metric, comparison.rows) == (
        "McNemar's exact test",
        "exact_answer",
        12,
    )
    gap = runs[1][1].metrics["student"]["exact_answer"] - runs[0][1].metrics["student"]["exact_answer"]
    assert comparison.difference == pytest.approx(gap)


def test_an_adapter_is_trained_and_left_in_place_of_the_student(
    configure: Configure, sums_cache: TeacherCache, tmp_path: Path
) -> None:
    run = configure(method="armada+kd", lora_rank=2, epochs=1)
    result = fit(run, sums_cache, tmp_path, quiet=True)
    assert (tmp_path / "student" / "adapter_config.json").exists()
    assert "AutoModelForCausalLM" in (tmp_path / "student" / "README.md").read_text()
    assert any(note.startswith("an adapter of rank 2") for note in result.notes)
    assert result.num_parameters["student_trainable"] < result.num_parameters["student"] / 2
    assert measure_again(run, sums_cache, tmp_path, "validation") == pytest.approx(result.metrics["student"])


def test_recomputed_layers_change_no_bit_and_bfloat16_little(
    configure: Configure, sums_cache: TeacherCache, tmp_path: Path
) -> None:
    logs = {}
    for name, session, precision in (
        ("plain", Session(), "fp32"),
        ("again", Session(gradient_checkpointing=True), "fp32"),
        ("bf16", Session(gradient_checkpointing=True), "bf16"),
    ):
        (tmp_path / name).mkdir()
        run = configure(method="kd", epochs=1, accumulate=2, precision=precision)
        fit(run, sums_cache, tmp_path / name, quiet=True, session=session)
        logs[name] = steps(tmp_path / name)
    assert logs["plain"] == logs["again"]
    for whole, half in zip(logs["plain"], logs["bf16"], strict=True):
        assert half["student/task"] == pytest.approx(whole["student/task"], rel=0.03)
        assert half["student/task"] != whole["student/task"]


@pytest.mark.parametrize(("method", "accumulate"), [("kd", 2), ("armada+kd", 1)])
def test_stopped_and_resumed_is_uninterrupted(
    configure: Configure,
    sums_cache: TeacherCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    method: str,
    accumulate: int,
) -> None:
    from distill.keeping import Keeper

    run = configure(method=method, accumulate=accumulate)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    fit(run, sums_cache, whole, quiet=True)
    after = Keeper.after_step

    def stop(self: Keeper, training: Any, log: Any, *, ends_pass: bool) -> None:
        after(self, training, log, ends_pass=ends_pass)
        if training.place.total_steps == 7:
            raise StoppedError("stopped", 143)

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "after_step", stop)
        with pytest.raises(StoppedError):
            fit(run, sums_cache, broken, quiet=True, session=Session(every=every_of("1")))
    fit(run, sums_cache, broken, quiet=True, session=Session(resume="must"))
    assert steps(broken) == steps(whole)
    names = ("student/model.safetensors", "predictions.parquet")
    assert all((broken / name).read_bytes() == (whole / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    ("method", "store", "said"),
    [
        ("kd", ("text",), "keeps no log-probabilities .* --store text,logprobs"),
        ("armada+kd", ("text", "logprobs"), "keeps no representations .* --store repr"),
        ("seqkd", ("logprobs",), "keeps no texts .* --store text, without --score"),
    ],
)
def test_a_cache_without_the_signal_is_refused(
    configure: Configure,
    make_sums: Callable[..., TeacherCache],
    writer_folder: Path,
    tmp_path: Path,
    *,
    method: str,
    store: tuple[str, ...],
    said: str,
) -> None:
    cache = make_sums(tmp_path / "cache", writer_folder, store=store, counts=(6, 3))
    with pytest.raises(CacheError, match=said) as refusal:
        fit(configure(method=method), cache, tmp_path, quiet=True)
    assert "\n" not in str(refusal.value)


def test_texts_are_for_tasks_with_texts(cache: TeacherCache, configure: Configure, tmp_path: Path) -> None:
    from distill.signals import check_signals

    run = replace(configure(method="seqkd"), task="movie-sentiment", max_new_tokens=None)
    with pytest.raises(ConfigError, match="--method seqkd learns texts, the task movie-sentiment has labels"):
        check_signals(run, cache.manifest, cache.folder)


def test_an_answer_longer_than_the_positions_is_refused_by_its_own_name(
    configure: Configure, sums_cache: TeacherCache, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match="--max-new-tokens 96: wanted fewer than the student's 96 positions"
    ):
        fit(configure(max_new_tokens=96), sums_cache, tmp_path, quiet=True)


def test_another_tokenizer_is_refused(
    configure: Configure, sums_cache: TeacherCache, make_writer: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_writer(tmp_path / "other")
    path = other / "tokenizer.json"
    path.write_text(path.read_text().replace('"the"', '"a"'))
    with pytest.raises(MismatchError, match=r"has the tokenizer .* or --method seqkd"):
        fit(configure(method="kd", student=str(other)), sums_cache, tmp_path, quiet=True)


def test_a_head_that_scales_its_logits_is_refused(tmp_path: Path) -> None:
    from transformers import CohereConfig, CohereForCausalLM

    from distill.writer import load_writer

    torch.manual_seed(0)
    config = CohereConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, logit_scale=0.25, initializer_range=0.3,
    )  # fmt: skip
    CohereForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(
        StudentError, match=r"changes logits after the product \(logit_scale 0.25\)"
    ) as refusal:
        load_writer(str(tmp_path))
    assert "\n" not in str(refusal.value)


def test_an_encoder_writes_nothing(tiny_student: Path) -> None:
    from distill.writer import load_writer

    with pytest.raises(StudentError, match="a bert reads both ways, so it writes no texts"):
        load_writer(str(tiny_student))
