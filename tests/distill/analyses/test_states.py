import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from distill.analyses.finished import open_run
from distill.analyses.states import aligner_states, student_states
from schemas.cache import TeacherCache
from schemas.errors import AnalysisError, ResultError


def test_the_head_makes_the_reported_logits_of_a_students_states(armada: Path, cache: TeacherCache) -> None:
    reported = pq.read_table(armada / "predictions.parquet").to_pydict()
    states = student_states(open_run(armada), cache)
    head = AutoModelForSequenceClassification.from_pretrained(armada / "student").classifier

    assert states.ids == tuple(reported["example_id"])
    logits = head(torch.from_numpy(states.values_RD)).detach().numpy()
    np.testing.assert_allclose(logits, np.array(reported["logits"]), atol=1e-5)


def test_the_head_makes_the_reported_metric_of_an_aligners_states(armada: Path, cache: TeacherCache) -> None:
    finished = open_run(armada)
    states = aligner_states(finished, cache)
    head = [load_file(armada / "aligner.safetensors")[f"output_head.1.{part}"] for part in ("weight", "bias")]
    logits = torch.nn.functional.linear(torch.from_numpy(states.values_RD), *head)
    labels = np.array(pq.read_table(armada / "predictions.parquet")["label"])

    assert states.values_RD.shape == (32, 16)
    right = (logits.argmax(1).numpy() == labels).mean()
    assert right == pytest.approx(finished.result.metrics["aligner"]["accuracy"])


def test_states_are_found_by_id(undistilled: Path, cache: TeacherCache) -> None:
    states = student_states(open_run(undistilled), cache)
    two = [states.ids[5], states.ids[2]]

    assert (states.of(two) == states.values_RD[[5, 2]]).all()
    with pytest.raises(AnalysisError, match="row 'x' is not among the 32 that were read"):
        states.of(["x"])


def test_an_adapter_is_put_into_its_base(
    cache: TeacherCache, train: Callable[..., Path], tiny_llama: Path
) -> None:
    folder = train(cache, student=str(tiny_llama), lora_rank=2, epochs=1)
    states = student_states(open_run(folder), cache)
    head = load_file(folder / "student" / "adapter_model.safetensors")["base_model.model.score.weight"]

    logits = states.values_RD @ head.numpy().T
    reported = pq.read_table(folder / "predictions.parquet")["logits"].to_pylist()
    np.testing.assert_allclose(logits, np.array(reported), atol=1e-5)


def test_a_run_without_an_aligner_says_so(undistilled: Path, cache: TeacherCache) -> None:
    with pytest.raises(
        AnalysisError, match="a run of --method undistilled has no aligner; give one of armada"
    ):
        aligner_states(open_run(undistilled), cache)


def test_rows_without_a_representation_have_no_aligner_state(
    train: Callable[..., Path], make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    cache = make_cache(tmp_path / "cache", taught=lambda example: example.split == "train")
    finished = open_run(train(cache, epochs=1))

    assert len(student_states(finished, cache).ids) == 32
    with pytest.raises(AnalysisError, match="32 rows of validation have no representation"):
        aligner_states(finished, cache)


def test_another_cache_is_refused(
    armada: Path, make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    other = make_cache(tmp_path / "other", train=40)
    for states in (student_states, aligner_states):
        with pytest.raises(
            AnalysisError, match=r"was made from the cache .*; give the cache that the run read"
        ):
            states(open_run(armada), other)


@pytest.mark.parametrize(
    ("gone", "error", "said"),
    [
        ("run.json", ResultError, "no run.json, so no finished run"),
        ("aligner.safetensors", AnalysisError, "aligner.safetensors of the finished run is gone"),
    ],
)
def test_a_run_that_lost_a_file_says_so(
    armada: Path, tmp_path: Path, gone: str, error: type[Exception], said: str
) -> None:
    shutil.copytree(armada, tmp_path / "run")
    (tmp_path / "run" / gone).unlink()
    with pytest.raises(error, match=said):
        open_run(tmp_path / "run")


def test_a_damaged_aligner_is_one_line(armada: Path, cache: TeacherCache, tmp_path: Path) -> None:
    shutil.copytree(armada, tmp_path / "run")
    (tmp_path / "run" / "aligner.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(
        AnalysisError, match=r"aligner.safetensors cannot be read \(.*\); run the same"
    ) as found:
        aligner_states(open_run(tmp_path / "run"), cache)
    assert "\n" not in str(found.value)
