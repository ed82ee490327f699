"""Students that read from left to right: pooled at their last token, saved as plain classifiers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.config import resolve
from distill.encoding import encode, separates
from distill.orthogonal import OrthogonalProjection
from distill.pretrained import load_backbone, load_tokenizer, pad_alike
from distill.student import Student
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.errors import StudentError
from schemas.tasks import find_task

TASK = find_task("movie-sentiment")
TEXTS = ["a warm film", "poor acting", "i loved every minute of it", "", "slow </s>"]
SMALL = {"epochs": 1, "batch_size": 16, "lr": 1e-3, "max_length": 32, "precision": "fp32"}
KINDS = ("llama", "opt", "qwen2", "gpt2")


@pytest.fixture(scope="module", params=KINDS)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_causal: Callable[..., Path]
) -> Path:
    pad = "<pad>" if request.param == "qwen2" else None
    return make_causal(tmp_path_factory.mktemp(request.param), request.param, pad)


def opened(folder: Path, **settings: Any) -> tuple[Student, Any]:
    torch.manual_seed(0)
    tokenizer, backbone = load_tokenizer(str(folder)), load_backbone(str(folder), TASK)
    pad_alike(backbone, tokenizer)
    return Student(backbone, **settings).eval(), tokenizer


def padded(tokenizer: Any, texts: list[str], side: str = "right") -> dict[str, torch.Tensor]:
    encoded = encode(tokenizer, [texts], 32).columns
    return dict(tokenizer.pad(encoded, return_tensors="pt", padding_side=side))


@torch.no_grad()
def test_answers_as_the_plain_class_does(folder: Path) -> None:
    student, tokenizer = opened(folder, manifold_dim=8)
    tokens = padded(tokenizer, TEXTS)
    view = student(**tokens)
    assert torch.equal(view.logits_BC, student.plain(**tokens).logits)
    assert view.logits_BC.isfinite().all()
    assert view.latent_BP is not None


@torch.no_grad()
def test_pools_the_last_token_of_each_text(folder: Path) -> None:
    student, tokenizer = opened(folder)
    together = student.pooling.pooled(student.plain, padded(tokenizer, TEXTS[:3]))
    firsts = []
    for text, pooled_D in zip(TEXTS[:3], together, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        states = student.plain.base_model(ids).last_hidden_state
        assert torch.allclose(pooled_D, states[0, -1], atol=1e-6)
        firsts.append(states[0, 0])
    assert not torch.allclose(together, torch.stack(firsts), atol=1e-3)


@torch.no_grad()
def test_padding_changes_no_answer(folder: Path) -> None:
    student, tokenizer = opened(folder)
    alone = torch.cat([student(**padded(tokenizer, [text])).logits_BC for text in TEXTS[:3]])
    assert torch.allclose(student(**padded(tokenizer, TEXTS)).logits_BC[:3], alone, atol=1e-6)
    if "gpt2" not in folder.name:  # Its positions are counted from the left edge, in the plain class too.
        left = student(**padded(tokenizer, TEXTS[:3], "left")).logits_BC
        assert torch.allclose(left, alone, atol=1e-5)


@pytest.mark.parametrize("method", ["armada", "undistilled"])
def test_what_is_saved_is_a_plain_classifier(
    folder: Path, method: str, cache: TeacherCache, tmp_path: Path
) -> None:
    aligner = {"aligner": "paper", "hidden_dim": 16} if method == "armada" else {}
    run = resolve({"task": TASK.name, "student": str(folder), "method": method, **aligner, **SMALL}, "audio")
    result = fit(run, cache, tmp_path, quiet=True)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "student", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert model.config.pad_token_id == (3 if "qwen2" in folder.name else 2)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    rows = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    texts = {
        row["example_id"]: row["fields"][0]["text"]
        for _, shard in cache.shards("validation")
        for row in shard.read().to_pylist()
    }
    tokens = tokenizer([texts[row["example_id"]] for row in rows], padding=True, return_tensors="pt")
    tokens.pop("token_type_ids", None)
    with torch.no_grad():
        logits = model.eval()(**tokens).logits
    assert logits.flatten().tolist() == pytest.approx([x for row in rows for x in row["logits"]], abs=1e-5)
    assert any("pads with its end-of-text token </s>" in note for note in result.notes) == (
        "qwen2" not in folder.name
    )


def test_a_number_is_read_off_the_same_head(tiny_llama: Path) -> None:
    backbone = load_backbone(str(tiny_llama), find_task("movie-rating"))
    assert backbone.score.out_features == backbone.config.num_labels == 1


def test_heads_are_as_wide_as_what_the_head_reads(folder: Path) -> None:
    student, _ = opened(folder, manifold_dim=24, reading="paper")
    assert isinstance(student.projection, OrthogonalProjection)
    assert student.projection.weight.shape == (24, 12 if "opt" in folder.name else 16)


def test_a_tokenizer_that_has_nothing_to_pad_with_is_refused(
    tiny_llama: Path, tmp_path: Path, make_causal: Callable[..., Path]
) -> None:
    make_causal(tmp_path, "llama")
    config = (tmp_path / "tokenizer_config.json").read_text()
    (tmp_path / "tokenizer_config.json").write_text(config.replace('"eos_token": "</s>",', ""))
    (tmp_path / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(StudentError, match="neither a padding token nor an end-of-text token; set pad_token"):
        load_tokenizer(str(tmp_path))


def test_a_padding_token_that_the_model_lacks_is_refused(
    tmp_path: Path, make_causal: Callable[..., Path]
) -> None:
    make_causal(tmp_path, "llama", "[PAD]")
    with pytest.raises(
        StudentError, match=r"pads with \[PAD\] of id 25, the model has the ids below 25; set"
    ):
        opened(tmp_path)


def test_a_pair_without_a_separator_is_two_lines(tiny_llama: Path, tiny_student: Path) -> None:
    causal, bert = load_tokenizer(str(tiny_llama)), load_tokenizer(str(tiny_student))
    assert (separates(causal), separates(bert)) == (False, True)
    pair = [["a warm film"], ["poor acting"]]
    assert encode(causal, pair, 32).columns == {
        "input_ids": causal(["a warm film\npoor acting"])["input_ids"]
    }
    assert set(encode(bert, pair, 32).columns) == {"input_ids", "token_type_ids"}


def test_rows_that_were_cut_are_counted(tiny_llama: Path, cache: TeacherCache, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_llama))
    assert encode(tokenizer, [["a warm film", "a warm", ""]], 2).cut == [True, False, False]
    options = {**SMALL, "max_length": 4, "method": "undistilled"}
    run = resolve({"task": TASK.name, "student": str(tiny_llama), **options}, "audio")
    notes = fit(run, cache, tmp_path, quiet=True).notes
    texts = [
        row["fields"][0]["text"] for _, shard in cache.shards("train") for row in shard.read().to_pylist()
    ]
    cut = sum(len(text.split()) > 4 for text in texts)
    assert f"{cut} training rows are longer than 4 tokens, their ends were cut off" in notes
    assert cut > 10


def test_a_model_that_pools_in_no_known_way_is_refused(
    tmp_path: Path, make_tiny: Callable[..., Path]
) -> None:
    make_tiny(tmp_path, "electra", embedding_size=16)
    with pytest.raises(StudentError, match="model type electra pools in no way known, wanted one of bert"):
        load_backbone(str(tmp_path), TASK)
