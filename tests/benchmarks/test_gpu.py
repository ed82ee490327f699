"""What `make bench ONLY=gpu` does where there is a card, at sizes for a CPU. Nothing is held to a time."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu_adapter, gpu_encoder, gpu_unpacking
from benchmarks.device_meter import metered
from benchmarks.measure import Claim, machine
from distill.adapter import adapt
from distill.answer_stream import right_padded
from distill.config import LoraConfig
from distill.losses.token import token_losses
from distill.writer import Writer, load_writer
from schemas.codec import CODECS
from tests.devices import on_each_device

ADAPTER = gpu_adapter.Size(
    width=64,
    layers=2,
    heads=4,
    shared_heads=2,
    head_width=16,
    inner_width=96,
    vocabulary=512,
    prompt=12,
    answer=12,
    batch=4,
    steps=2,
    warm_up=1,
    rounds=1,
    kept=8,
    rank=2,
    square=32,
)
ENCODER = gpu_encoder.Size(width=64, layers=1, batches=(8,), rows=32, steps=1, warm_up=1, rounds=1, limit=120)


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMADA_CACHE_DIR", str(tmp_path / "armada"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


def sound(claims: list[Claim], count: int) -> None:
    assert len(claims) == count
    assert len({claim.claim for claim in claims}) == count
    assert all(math.isfinite(claim.median) and claim.median > 0 for claim in claims), claims
    assert all("nan" not in claim.detail for claim in claims)


@on_each_device
def test_the_encoder_is_trained_in_each_way(
    fetched: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To compile takes minutes.
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    sound(gpu_encoder.claims(torch.device(device), ENCODER), 3)


@on_each_device
def test_the_encoder_is_trained_in_graphs(
    fetched: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str] = []

    def keep(module: Any, *, mode: str, **_: Any) -> Any:
        modes.append(mode)
        return module

    monkeypatch.setattr(torch, "compile", keep)
    sound(gpu_encoder.with_graphs(torch.device(device), ENCODER), 1)
    assert modes == ["reduce-overhead"]


@on_each_device
def test_the_adapter_is_trained_in_each_way(device: str) -> None:
    sound(gpu_adapter.claims(torch.device(device), ADAPTER), 5)


@on_each_device
def test_unpacking_is_measured_for_each_codec(device: str) -> None:
    load = gpu_unpacking.Load(rows=3, tokens=4, rounds=1, repeats=1)
    sound(gpu_unpacking.claims(torch.device(device), load), len(CODECS))


@on_each_device
@pytest.mark.parametrize("codec", sorted(CODECS))
def test_both_ways_of_unpacking_give_the_same(codec: str, device: str) -> None:
    columns = gpu_unpacking.columns_of(codec, gpu_unpacking.Load(rows=3, tokens=5))
    ways = (gpu_unpacking.on_the_device, gpu_unpacking.on_the_host)
    for one, other in zip(*(way(columns, torch.device(device)) for way in ways), strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.device.type == other.device.type == device
            torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_the_counted_arithmetic_of_a_step_is_what_is_done(tmp_path: Path) -> None:
    """Beside torch's own count, of a model whose attention is next to nothing: torch counts all its pairs."""
    size = gpu_adapter.Size(
        width=256,
        layers=3,
        heads=4,
        shared_heads=2,
        head_width=64,
        inner_width=512,
        vocabulary=1024,
        prompt=8,
        answer=8,
        batch=2,
        rank=4,
    )
    student = gpu_adapter.write_model(tmp_path, size, torch.device("cpu"))
    how = LoraConfig(lora_rank=4, lora_targets="q_proj,v_proj", lora_dropout=0)
    writer = Writer(adapt(load_writer(str(student)), how, ()))
    random = np.random.default_rng(0)
    prompts, answers = (list(random.integers(2, 1024, (2, 8), np.int32)) for _ in range(2))
    batch: dict[str, Any] = {
        name: torch.from_numpy(part) for name, part in right_padded(prompts, answers, 0).items()
    }
    with FlopCounterMode(display=False) as counter:
        tokens = writer(**batch).tokens
        assert tokens is not None
        token_losses(tokens).total.backward()
    assert counter.get_total_flops() == pytest.approx(gpu_adapter.flops_of_step(size), rel=0.03)


def test_a_meter_leaves_the_first_steps_out_and_its_hook_with_them() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    weight.grad = torch.ones(2)
    with metered(torch.device("cpu"), 2, 4) as meter:
        for step in range(5):
            assert math.isnan(meter.seconds) is (step < 4)
            optimiser.step()
    optimiser.step()
    assert meter.steps == 5
    assert meter.seconds > 0
    assert meter.peak_bytes > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_card_nothing_is_measured_and_nothing_fails(repository: Path) -> None:
    results = repository / "benchmarks" / "results.json"
    before = results.read_bytes()
    command = [sys.executable, "-m", "benchmarks", "gpu"]
    done = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "gpu: no CUDA device, so nothing is measured"
    assert results.read_bytes() == before


def test_the_machines_line_names_a_card_where_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CUDA" not in machine() or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    assert ", NVIDIA H100 80GB HBM3, CUDA " in machine()
