import errno
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from distill import checkpoint
from distill.checkpoint import Checkpoints, Snapshot
from distill.session import Every, every_of
from distill.tensor_file import write_tensors
from schemas.errors import ConfigError, ResultError

RUN, OTHER = "a" * 64, "b" * 64


def snapshot(step: int, epoch: int = 0) -> Snapshot:
    return Snapshot(
        step=step,
        tensors={"weights": torch.full((3,), float(step)), "random": torch.arange(7, dtype=torch.uint8)},
        facts={"step": step, "best": {"epoch": epoch, "value": 0.5}},
        best_epoch=epoch,
        best={"student.weights": torch.full((2,), float(epoch))} if epoch else {},
    )


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in (folder / "checkpoint").iterdir())


def test_the_newest_and_no_other_is_kept_and_the_best_once(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, RUN)
    assert not kept.exist
    kept.save(snapshot(3))
    assert names(tmp_path) == ["latest.json", "step-3"]
    kept.save(snapshot(6, epoch=1))
    written = (tmp_path / "checkpoint" / "best-1.safetensors").stat().st_mtime_ns
    kept.save(snapshot(9, epoch=1))
    again = Checkpoints(tmp_path, RUN)
    assert again.load().best["student.weights"].tolist() == [1, 1]
    again.save(snapshot(12, epoch=1))
    assert names(tmp_path) == ["best-1.safetensors", "latest.json", "step-12"]
    assert (tmp_path / "checkpoint" / "best-1.safetensors").stat().st_mtime_ns == written
    again.save(snapshot(15, epoch=2))
    assert names(tmp_path) == ["best-2.safetensors", "latest.json", "step-15"]
    loaded = Checkpoints(tmp_path, RUN).load()
    assert (loaded.step, loaded.best_epoch) == (15, 2)
    assert torch.equal(loaded.tensors["random"], snapshot(15).tensors["random"])
    again.remove()
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    kept = Checkpoints(tmp_path, RUN)
    kept.save(snapshot(3, epoch=1))

    def refuse(path: Path, tensors: object) -> str:
        path.write_bytes(b"half")
        raise OSError(number, "no")

    monkeypatch.setattr(checkpoint, "write_tensors", refuse)
    for following in (snapshot(6, epoch=1), snapshot(6, epoch=2)):
        with pytest.raises(OSError, match="no"):
            kept.save(following)
        assert names(tmp_path) == ["best-1.safetensors", "latest.json", "step-3"]
        assert Checkpoints(tmp_path, RUN).load().step == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("latest.json", b""),
        ("latest.json", b"[]"),
        ("latest.json", b'{"newest": "step-4"}'),
        ("step-3/state.json", b"{}"),
        ("step-3/state.safetensors", b"x" * 200),
        ("step-3/state.safetensors", None),
        ("best-1.safetensors", b""),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    Checkpoints(tmp_path, RUN).save(snapshot(3, epoch=1))
    path = tmp_path / "checkpoint" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ResultError, match=r"checkpoint/.* damaged.*; --resume never starts anew") as caught:
        Checkpoints(tmp_path, RUN).load()
    assert "\n" not in str(caught.value)


def test_another_run_and_another_layout_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Checkpoints(tmp_path, RUN).save(snapshot(3))
    with pytest.raises(ResultError, match="step-3 belongs to the run aaaaaaaa, this one is bbbbbbbb"):
        Checkpoints(tmp_path, OTHER).load()
    monkeypatch.setattr(checkpoint, "_LAYOUT", 4)
    with pytest.raises(ResultError, match="has checkpoint layout 3, this reader needs 4"):
        Checkpoints(tmp_path, RUN).load()


def test_the_file_is_safetensors_of_any_type_and_shape(tmp_path: Path) -> None:
    tensors = {
        "byte": torch.arange(5, dtype=torch.uint8),
        "half": torch.randn(3, 2).to(torch.bfloat16),
        "scalar": torch.tensor(7.0),
        "turned": torch.randn(3, 2).T,
        "empty": torch.zeros(0, 4),
        "long": torch.tensor([-1, 2]),
        "truth": torch.tensor([True, False]),
    }
    write_tensors(tmp_path / "file", tensors)
    loaded = load_file(tmp_path / "file")
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())
    assert {name: value.dtype for name, value in loaded.items()} == {
        name: value.dtype for name, value in tensors.items()
    }


def test_how_often() -> None:
    assert every_of("100") == Every(steps=100)
    assert every_of("0.5s") == Every(seconds=0.5)
    for wrong in ("0", "1.5", "-3", "60 s", "1m", "0s", ""):
        with pytest.raises(ConfigError, match="--checkpoint-every"):
            every_of(wrong)


@given(cost=st.floats(0, 100), work=st.lists(st.tuples(st.floats(0.01, 30), st.booleans()), max_size=200))
def test_by_the_clock_it_takes_less_than_a_twentieth(cost: float, work: list[tuple[float, bool]]) -> None:
    every, since, steps, worked, written = Every(seconds=60), 0.0, 0, 0.0, 0.0
    last = cost
    for seconds, ends_pass in work:
        since, steps, worked = since + seconds, steps + 1, worked + seconds
        if every.due(steps, since, last, ends_pass=ends_pass):
            written, since, steps = written + cost, 0.0, 0
    assert written <= worked / 20 + 1e-6
