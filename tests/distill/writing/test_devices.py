"""Students that write, on each device: what is unpacked and learnt there is what it is on the CPU."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from distill.config import resolve
from distill.dropout import CheapDropout
from distill.trainer import fit
from schemas.cache import TeacherCache

KINDS = {
    "kd": ("packed", {}),
    "kd in an adapter": ("exact", {"lora_rank": 2, "lora_dropout": 0.0}),
    "armada+kd, jsd": ("half", {"method": "armada+kd", "hidden_dim": 16, "kd_divergence": "jsd:0.5"}),
}


def losses(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if "step" in line]


@pytest.fixture
def made(tmp_path: Path, writer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train without dropout, which devices draw differently: `made(cache, device, precision, **options)`."""
    for kind in (torch.nn.Dropout, CheapDropout):
        monkeypatch.setattr(kind, "forward", lambda self, values: values)

    def train(cache: TeacherCache, device: str, precision: str, **options: Any) -> Path:
        small = {"batch_size": 8, "max_length": 32, "max_new_tokens": 4, "epochs": 2, "lr": 3e-3}
        given = {"student": str(writer_folder), "method": "kd", **small, **options}
        folder = tmp_path / f"{device}-{precision}"
        folder.mkdir()
        run = resolve({"task": "chain-sum", "device": device, "precision": precision, **given}, "text")
        fit(run, cache, folder, quiet=True)
        return folder

    return train


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("cpu", "bf16"),
        pytest.param("cuda", "fp32", marks=pytest.mark.gpu),
        pytest.param("cuda", "bf16", marks=pytest.mark.gpu),
    ],
)
def test_a_student_learns_tokens_as_on_the_cpu_in_float32(
    *,
    made: Callable[..., Path],
    make_sums: Callable[..., TeacherCache],
    writer_folder: Path,
    tmp_path: Path,
    device: str,
    precision: str,
    kind: str,
) -> None:
    codec, options = KINDS[kind]
    cache = make_sums(tmp_path / "cache", writer_folder, codec=codec, kept=9)
    wide, run = made(cache, "cpu", "fp32", **options), made(cache, device, precision, **options)
    close: dict[str, float] = (
        {"rel": 1e-3, "abs": 1e-4} if precision == "fp32" else {"rel": 0.05, "abs": 0.03}
    )
    assert len(losses(run)) > 8
    assert losses(run) == [pytest.approx(line, **close) for line in losses(wide)]
    if precision == "fp32":
        said = [pq.read_table(one / "predictions.parquet").column("predicted") for one in (run, wide)]
        assert said[0] == said[1]
