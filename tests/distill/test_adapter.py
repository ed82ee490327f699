"""Adapters: what is trained, what is saved, and that peft and transformers load it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from distill import trainer
from distill.adapter import adapt, narrow
from distill.again import load_student, measure_again, predict, write_merged
from distill.cli import distill
from distill.config import LoraConfig, RunConfig, resolve
from distill.export import export_student
from distill.pretrained import load_tokenizer, load_with_fresh
from distill.session import Every, Session
from distill.student import Student
from distill.tower import learnt
from distill.trainer import fit
from distill.training import Training
from distill.weights import digest_of_student
from schemas.cache import TeacherCache
from schemas.errors import ConfigError, StudentError
from schemas.result import RunResult
from schemas.tasks import find_task

TASK = find_task("movie-sentiment")
SMALL = {"epochs": 2, "batch_size": 16, "lr": 1e-2, "max_length": 32, "precision": "fp32", "hidden_dim": 16}
VARIANTS: dict[str, dict[str, Any]] = {"lora": {}, "dora": {"dora": True}, "rslora": {"rslora": True}}
Made = tuple[RunConfig, Path, RunResult]


def configured(student: Path, **given: Any) -> RunConfig:
    return resolve({"task": TASK.name, "student": str(student), "lora_rank": 2, **SMALL, **given}, "audio")


@pytest.fixture(scope="module", params=["llama", "bert"])
def base(request: pytest.FixtureRequest, tiny_llama: Path, tiny_student: Path) -> Path:
    return {"llama": tiny_llama, "bert": tiny_student}[request.param]


@pytest.fixture(scope="module", params=list(VARIANTS))
def made(
    request: pytest.FixtureRequest, base: Path, cache: TeacherCache, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    folder, run = tmp_path_factory.mktemp("run"), configured(base, **VARIANTS[request.param])
    return run, folder, fit(run, cache, folder, quiet=True)


def texts_of(cache: TeacherCache) -> dict[str, str]:
    rows = [row for _, shard in cache.shards("validation") for row in shard.read().to_pylist()]
    return {row["example_id"]: row["fields"][0]["text"] for row in rows}


def agrees(folder: Path, cache: TeacherCache, model: Any, saved: str = "student") -> None:
    """A model, loaded by others, answers what the run reported."""
    rows, texts = pq.read_table(folder / "predictions.parquet").to_pylist(), texts_of(cache)
    tokenizer = AutoTokenizer.from_pretrained(folder / saved)
    tokens = tokenizer([texts[row["example_id"]] for row in rows], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model.eval()(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
    assert logits.flatten().tolist() == pytest.approx([x for row in rows for x in row["logits"]], abs=1e-4)


def test_peft_loads_it_as_the_card_says(made: Made, cache: TeacherCache) -> None:
    run, folder, _ = made
    student = str(folder / "student")
    card = (folder / "student" / "README.md").read_text()
    lines = [line.strip() for line in card.splitlines() if line.startswith("    ") and "FOLDER" in line]
    names = {"AutoConfig": AutoConfig, "PeftModel": PeftModel, "AutoTokenizer": AutoTokenizer}
    found = {**names, "AutoModelForSequenceClassification": AutoModelForSequenceClassification}
    base = next(line for line in card.splitlines() if line.strip().startswith("base = "))
    assert run.student in base
    for line in (lines[0], base.strip(), lines[-1]):
        exec(line.replace("FOLDER", student), found)
    agrees(folder, cache, found["model"])


def test_peft_finds_the_base_by_itself(made: Made, cache: TeacherCache) -> None:
    folder = made[1] / "student"
    config = AutoConfig.from_pretrained(folder)
    model = AutoPeftModelForSequenceClassification.from_pretrained(
        folder, num_labels=2, pad_token_id=config.pad_token_id
    )
    agrees(made[1], cache, model)


def test_a_merged_student_is_a_plain_one(made: Made, cache: TeacherCache) -> None:
    run, folder, result = made
    path = write_merged(run, folder, result)
    assert "PeftModel" not in (path / "README.md").read_text()
    assert not (path / "adapter_config.json").exists()
    agrees(folder, cache, AutoModelForSequenceClassification.from_pretrained(path), "merged")
    written = (path / "model.safetensors").stat().st_mtime_ns
    assert write_merged(run, folder, result) == path
    assert (path / "model.safetensors").stat().st_mtime_ns == written


def test_can_be_asked_again(made: Made, cache: TeacherCache, tmp_path: Path) -> None:
    run, folder, result = made
    assert measure_again(run, cache, folder, "validation") == pytest.approx(result.metrics["student"])
    source = tmp_path / "new.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts_of(cache).values()))
    answered = pq.read_table(predict(run, cache, folder, source)).column("logits").to_pylist()
    reported = pq.read_table(folder / "predictions.parquet").column("logits").to_pylist()
    assert np.array(answered) == pytest.approx(np.array(reported), abs=1e-4)


@pytest.fixture(scope="module")
def short_llama(make_causal: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA whose folder holds bfloat16, as those that are published do."""
    folder = make_causal(tmp_path_factory.mktemp("short"), "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_base_that_is_held_in_bfloat16_changes_no_bit(
    short_llama: Path, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    run = configured(short_llama, precision="bf16", device="cpu", **VARIANTS[variant])
    held: list[str] = []

    def narrowed(module: torch.nn.Module) -> None:
        narrow(module)
        held.extend(name for name, one in module.named_parameters() if one.dtype == torch.bfloat16)

    made = {}
    for name, way in (("narrow", narrowed), ("wide", lambda _: None)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(trainer, "narrow", way)
        fit(run, cache, tmp_path / name, quiet=True)
        files = ("metrics.jsonl", "predictions.parquet", "student/adapter_model.safetensors")
        made[name] = [(tmp_path / name / file).read_bytes() for file in files]
    assert len(held) == 2 * 7
    assert made["narrow"] == made["wide"]


def test_a_base_that_would_lose_digits_or_learns_stays_as_it_is(tiny_llama: Path, short_llama: Path) -> None:
    how = LoraConfig(lora_rank=2)
    for folder, dtypes in ((tiny_llama, {torch.float32}), (short_llama, {torch.float32, torch.bfloat16})):
        backbone, fresh = load_with_fresh(str(folder), TASK)
        adapted = adapt(backbone, how, fresh)
        before = {name: one.detach().clone() for name, one in adapted.named_parameters()}
        narrow(adapted)
        assert {one.dtype for one in adapted.parameters()} == dtypes
        assert all(one.dtype == torch.float32 for one in adapted.parameters() if one.requires_grad)
        adapted.float()
        assert all(one.equal(before[name]) for name, one in adapted.named_parameters())


def test_a_head_that_an_embedding_shares_stays_in_float32(
    make_causal: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_causal(tmp_path, "llama", tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).float().requires_grad_(False)
    narrow(model)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.get_input_embeddings().weight.dtype == torch.float32
    assert model.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16


def test_a_damaged_adapter_is_told_from_a_base_that_is_gone(tiny_llama: Path, tmp_path: Path) -> None:
    run, place = configured(tiny_llama), tmp_path / "student"
    assert run.lora is not None
    backbone, fresh = load_with_fresh(str(tiny_llama), TASK)
    adapted = adapt(backbone, run.lora, fresh)
    export_student(place, adapted, load_tokenizer(str(tiny_llama)), str(tiny_llama))
    load_student(run, tmp_path)
    with pytest.raises(StudentError, match=r"^--student .*gone: cannot be loaded"):
        load_student(replace(run, student=str(tmp_path / "gone")), tmp_path)
    weights = place / "adapter_model.safetensors"
    whole = load_file(weights)
    save_file({name: whole[name] for name in list(whole)[1:]}, weights, metadata={"format": "pt"})
    with pytest.raises(StudentError, match=r"/student cannot be loaded \(no weights of base_model\."):
        load_student(run, tmp_path)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(StudentError, match=r"/student cannot be loaded \(.*\); delete this folder and run"):
        load_student(run, tmp_path)


def test_it_learns_and_says_what_it_trained(made: Made, base: Path) -> None:
    result = made[2]
    if "llama" in base.name:  # Of a random BERT, so little of it moves nothing in two epochs.
        assert result.metrics["student"]["accuracy"] > result.metrics["majority"]["accuracy"] + 0.1
    assert result.num_parameters["student_trainable"] < result.num_parameters["student"] / 2
    assert any("an adapter of rank 2 was trained in 4 layers" in note for note in result.notes)


def test_the_folder_holds_the_adapter_alone(made: Made) -> None:
    names = set(load_file(made[1] / "student" / "adapter_model.safetensors"))
    assert all("lora_" in name or ".score." in name or ".classifier." in name for name in names)
    assert not (made[1] / "student" / "model.safetensors").exists()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_reaches_the_adapter_and_heads_and_never_the_base(base: Path, checkpointing: bool) -> None:
    backbone, fresh = load_with_fresh(str(base), TASK)
    backbone.config.pad_token_id = backbone.config.pad_token_id or 0
    if checkpointing:
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(0)
    student = Student(adapt(backbone, LoraConfig(lora_rank=2), fresh), manifold_dim=8).train()
    before = {name: one.clone() for name, one in student.named_parameters()}
    optimiser = torch.optim.AdamW(student.parameters(), lr=0.1)
    for _ in range(2):
        view = student(input_ids=torch.tensor([[5, 7, 8], [6, 9, 4]]), attention_mask=torch.ones(2, 3).long())
        assert view.latent_BP is not None
        assert view.aux_logits_BC is not None
        (
            view.logits_BC[:, 0].sum() + view.latent_BP.square().sum() + view.aux_logits_BC[:, 0].sum()
        ).backward()
        optimiser.step()
        optimiser.zero_grad()
    moved = {name for name, one in student.named_parameters() if not torch.equal(one, before[name])}
    head = "classifier" if "tiny" in base.name else "score"
    wanted = [name for name in before if "lora_" in name or f"{head}.modules_to_save" in name]
    assert moved >= {*wanted, "projection.weight"}
    assert all(
        "lora_" in name or "modules_to_save" in name or name.startswith(("projection", "aux_head"))
        for name in moved
    )
    assert moved <= set(learnt(student))


@pytest.mark.parametrize("kind", ["opt", "qwen2", "gpt2", "deberta-v2"])
def test_every_family_takes_one_in_bf16(
    kind: str,
    cache: TeacherCache,
    tmp_path: Path,
    make_causal: Callable[..., Path],
    make_tiny: Callable[..., Path],
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    out.mkdir()
    if kind == "deberta-v2":
        make_tiny(base, kind)
    else:
        make_causal(base, kind, "<pad>")
    run = configured(base, epochs=1, precision="bf16")
    result = fit(run, cache, out, quiet=True)
    assert measure_again(run, cache, out, "validation") == pytest.approx(result.metrics["student"])
    saved = json.loads((out / "student" / "adapter_config.json").read_text())
    assert set(saved["modules_to_save"]) == {"classifier", "score"}
    weights = load_file(out / "student" / "adapter_model.safetensors").values()
    assert {one.dtype for one in weights} == {torch.float32}


def test_a_finished_run_is_merged_without_training_again(
    tiny_llama: Path, cache: TeacherCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--shards", str(cache.folder), "--student", str(tiny_llama), "--out", str(tmp_path / "out")]
    options = [*where, "--method", "undistilled", "--epochs", "1", "--max-length", "32"]
    with pytest.raises(ConfigError, match="--merge has no effect without --lora-rank; leave it out"):
        distill([*options, "--merge"], standalone_mode=False)
    distill([*options, "--lora-rank", "2"], standalone_mode=False)
    assert not (tmp_path / "out" / "merged").exists()
    distill([*options, "--lora-rank", "2", "--merge"], standalone_mode=False)
    said = capsys.readouterr().err
    assert "finished already" in said
    assert f"merged: {tmp_path / 'out' / 'merged'}" in said
    agrees(
        tmp_path / "out",
        cache,
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "merged"),
    )


def test_a_module_that_the_folder_lacks_is_trained_whole_and_saved(
    tiny_student: Path, cache: TeacherCache, tmp_path: Path
) -> None:
    headless = AutoModelForSequenceClassification.from_pretrained(tiny_student).bert
    headless.pooler = None
    folder, out = tmp_path / "base", tmp_path / "out"
    headless.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_student).save_pretrained(folder)
    assert load_with_fresh(str(folder), TASK)[1] == ("bert.pooler.dense", "classifier")
    out.mkdir()
    run = configured(folder)
    result = fit(run, cache, out, quiet=True)
    assert any("whole: bert.pooler.dense, classifier" in note for note in result.notes)
    assert measure_again(run, cache, out, "validation") == pytest.approx(result.metrics["student"])


@pytest.mark.parametrize(
    ("targets", "layers"),
    [("q_proj", 2), ("q_proj, layers.0.mlp.up_proj", 3), ("all-linear", 14), ("embed_tokens", 1)],
)
def test_targets_are_layers_by_name(tiny_llama: Path, targets: str, layers: int) -> None:
    backbone, fresh = load_with_fresh(str(tiny_llama), TASK)
    adapted = adapt(backbone, LoraConfig(lora_rank=2, lora_targets=targets), fresh)
    assert sum(hasattr(part, "lora_A") for part in adapted.modules()) == layers


@pytest.mark.parametrize("targets", ["q_prj", "q_proj,score", "proj", "norm"])
def test_a_target_that_is_no_layer_is_one_line_with_those_that_are(tiny_llama: Path, targets: str) -> None:
    backbone, fresh = load_with_fresh(str(tiny_llama), TASK)
    with pytest.raises(
        ConfigError,
        match=r"--lora-targets \w+: no layer of the student has that name; wanted some of embed_tokens, "
        r"q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, or all-linear",
    ):
        adapt(backbone, LoraConfig(lora_rank=2, lora_targets=targets), fresh)


class Killed(BaseException):
    """Ends a run as a signal would, inside this process."""


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_killed_and_resumed_it_ends_as_if_it_was_not(
    base: Path, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    run, whole, killed = configured(base, **VARIANTS[variant]), tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    fit(run, cache, whole, quiet=True)
    moved = Training._moved

    def stopped(self: Training, num_rows: int) -> None:
        moved(self, num_rows)
        # In the midst of the student's second pass, when the best of the first is kept.
        if self.place.total_steps == 21:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_moved", stopped)
        with pytest.raises(Killed):
            fit(run, cache, killed, quiet=True, session=Session(every=Every(steps=1)))
    names: set[str] = set()
    for path in [
        *killed.glob("checkpoint/step-*/*.safetensors"),
        *killed.glob("checkpoint/best-*.safetensors"),
    ]:
        with safe_open(path, "pt") as file:
            names |= {name for name in file.keys() if "student" in name.split(".")[:2]}  # noqa: SIM118
    kept = ("lora_", "modules_to_save", "projection", "aux_head")
    assert names
    assert all(name.startswith("moments") or any(part in name for part in kept) for name in names)
    # As if recomputed layers were switched on after a want of memory.
    fit(run, cache, killed, quiet=True, session=Session(resume="must", gradient_checkpointing=True))
    for name in ("aligner.safetensors", "metrics.jsonl", "predictions.parquet"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    adapters = [load_file(folder / "student" / "adapter_model.safetensors") for folder in (whole, killed)]
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])


def test_the_best_is_held_without_the_base(tiny_llama: Path, cache: TeacherCache, tmp_path: Path) -> None:
    held: list[set[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "restore", lambda self: held.append(set(self.best.weights["student"])))
        fit(configured(tiny_llama, method="undistilled", hidden_dim=None), cache, tmp_path, quiet=True)
    assert held[0]
    assert not any("base_layer" in name or "embed" in name for name in held[0])


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_base_below_the_current_folder_is_named_without_the_way_to_it(
    tiny_llama: Path, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    base = tmp_path / "models" / "small"
    base.mkdir(parents=True)
    for file in tiny_llama.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path if place == "here" else tiny_llama)
    out = tmp_path / "out"
    out.mkdir()
    fit(configured(base, epochs=1, method="undistilled", hidden_dim=None), cache, out, quiet=True)
    saved = json.loads((out / "student" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == ("models/small" if place == "here" else str(base))


def test_an_adapter_is_no_student_to_begin_with(made: Made) -> None:
    with pytest.raises(StudentError, match="an adapter, wanted a whole model; give one that --merge made"):
        digest_of_student(str(made[1] / "student"))


def test_peft_is_imported_for_adapters_alone(
    repository: Path, cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom distill.cli import distill\n"
        f"distill(['--shards', {str(cache.folder)!r}, '--student', {str(tiny_student)!r}, '--out', "
        f"{str(tmp_path / 'out')!r}, '--method', 'undistilled', '--epochs', '1', '--max-length', '32', "
        "'--quiet'], standalone_mode=False)\nprint('peft' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_recomputed_layers_change_no_bit(base: Path, cache: TeacherCache, tmp_path: Path) -> None:
    logs = []
    for name, session in (("plain", Session()), ("again", Session(gradient_checkpointing=True))):
        (tmp_path / name).mkdir()
        fit(configured(base, epochs=1), cache, tmp_path / name, quiet=True, session=session)
        logs.append((tmp_path / name / "metrics.jsonl").read_text())
    assert logs[0] == logs[1]


def test_compile_wraps_the_student_alone(
    tiny_llama: Path, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[tuple[str, bool]] = []

    def keep(module: Callable[..., Any], *, dynamic: bool) -> Callable[..., Any]:
        compiled.append((type(module).__name__, dynamic))
        return module

    monkeypatch.setattr(torch, "compile", keep)
    fit(configured(tiny_llama, epochs=1, compile=True), cache, tmp_path, quiet=True)
    assert compiled == [("Student", True)]


def test_a_want_of_memory_is_one_line(
    tiny_llama: Path, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nand much more text")

    monkeypatch.setattr(Student, "forward", full)
    options = {"method": "undistilled", "hidden_dim": None}
    with pytest.raises(
        StudentError, match=r"while training, on a batch of 16 rows, \d+ tokens wide; go on with --grad"
    ) as caught:
        fit(configured(tiny_llama, **options), cache, tmp_path, quiet=True)
    assert "\n" not in str(caught.value)


def test_a_want_of_memory_while_measuring_is_one_line(
    tiny_llama: Path, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Student.forward

    def full_when_measuring(self: Student, **tokens: Any) -> Any:
        if not self.training:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nmore")
        return forward(self, **tokens)

    monkeypatch.setattr(Student, "forward", full_when_measuring)
    options = {"method": "undistilled", "hidden_dim": None, "epochs": 1}
    with pytest.raises(
        StudentError, match=r"while measuring, on a batch of \d+ rows, \d+ tokens wide; begin anew with"
    ) as caught:
        fit(configured(tiny_llama, **options), cache, tmp_path, quiet=True)
    assert "\n" not in str(caught.value)
