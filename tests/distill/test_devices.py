"""Whole runs on each device: they learn what the CPU learns in float32, and a stopped one goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.config import RunConfig, resolve
from distill.dropout import CheapDropout
from distill.session import Every, Session
from distill.trainer import fit
from distill.training import Training
from schemas.cache import TeacherCache
from schemas.result import RunResult
from tests.devices import on_each_device

PRECISIONS = pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("cpu", "bf16"),
        pytest.param("cuda", "fp32", marks=pytest.mark.gpu),
        pytest.param("cuda", "bf16", marks=pytest.mark.gpu),
    ],
)
# bfloat16 keeps eight bits of a number.
NEAR = {"fp32": {"rel": 1e-3, "abs": 1e-4}, "bf16": {"rel": 0.03, "abs": 0.02}}


def configured(student: Path, **given: Any) -> RunConfig:
    options = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "max_length": 32, "hidden_dim": 16, **given}
    return resolve({"task": "movie-sentiment", "student": str(student), **options}, "audio")


@pytest.fixture
def calm(make_tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student in which nothing is dropped by chance: devices draw differently."""
    for kind in (torch.nn.Dropout, CheapDropout):
        monkeypatch.setattr(kind, "forward", lambda self, values: values)
    settings = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return make_tiny(tmp_path / "calm", "bert", **settings)


def made(folder: Path, run: RunConfig, cache: TeacherCache, **session: Any) -> RunResult:
    folder.mkdir(exist_ok=True)
    return fit(run, cache, folder, quiet=True, session=Session(**session))


def losses(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if "step" in line]


def near(one: Path, other: Path, precision: str) -> None:
    ours, theirs = losses(one), losses(other)
    assert len(ours) == len(theirs) > 20
    for line, wanted in zip(ours, theirs, strict=True):
        assert line == pytest.approx(wanted, **NEAR[precision])


@PRECISIONS
def test_a_run_learns_as_on_the_cpu_in_float32(
    *, cache: TeacherCache, calm: Path, tmp_path: Path, device: str, precision: str
) -> None:
    wide = configured(calm, device="cpu", precision="fp32", manifold="cosine")
    made(tmp_path / "wide", wide, cache)
    run = configured(calm, device=device, precision=precision, manifold="cosine")
    result = made(tmp_path / "made", run, cache)
    near(tmp_path / "made", tmp_path / "wide", precision)
    assert result.device.startswith(f"{device} (")
    assert result.device.endswith(precision)
    assert ("device" in result.peak_memory_bytes) is (device == "cuda")
    assert {"student", "student_aux", "aligner", "aligner_aux"} <= set(result.metrics)


@PRECISIONS
def test_an_adapter_learns_as_on_the_cpu_in_float32(
    *, cache: TeacherCache, tiny_llama: Path, calm: Path, tmp_path: Path, device: str, precision: str
) -> None:
    for name, where in (("wide", ("cpu", "fp32")), ("made", (device, precision))):
        run = configured(tiny_llama, lora_rank=2, device=where[0], precision=where[1])
        made(tmp_path / name, run, cache)
    near(tmp_path / "made", tmp_path / "wide", precision)


class Stopped(Exception):  # noqa: N818 - a power cut, not an error
    pass


@on_each_device
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    *,
    cache: TeacherCache,
    tiny_student: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    precision: str,
) -> None:
    """Dropout is on, so what is drawn after the checkpoint must be what would have been."""
    run = configured(tiny_student, device=device, precision=precision, schedule="joint")
    made(tmp_path / "whole", run, cache, every=Every(steps=4))
    moved = Training._moved

    def until_the_seventh(self: Training, num_rows: int) -> None:
        moved(self, num_rows)
        if self.place.total_steps == 7:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_moved", until_the_seventh)
        with pytest.raises(Stopped):
            made(tmp_path / "parts", run, cache, every=Every(steps=4))
    torch.manual_seed(99)
    made(tmp_path / "parts", run, cache, resume="must")
    ours, wanted = losses(tmp_path / "parts"), losses(tmp_path / "whole")
    if device == "cpu":
        assert ours == wanted
    else:
        # Sums are in another order from run to run there, so their last digits differ.
        assert ours == [pytest.approx(line, rel=1e-3, abs=1e-4) for line in wanted]


@on_each_device
def test_loading_threads_change_nothing(cache: TeacherCache, calm: Path, tmp_path: Path, device: str) -> None:
    run = configured(calm, device=device, precision="fp32", epochs=1)
    for workers in (0, 2):
        made(tmp_path / str(workers), run, cache, loader_workers=workers)
    ours, wanted = losses(tmp_path / "2"), losses(tmp_path / "0")
    assert ours == [pytest.approx(line, rel=1e-5, abs=1e-6) for line in wanted]
