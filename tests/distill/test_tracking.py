import json
from pathlib import Path

import pytest
import torch
from accelerate.state import PartialState

from distill.config import RunConfig, resolve
from distill.session import Session, trackers_of
from distill.tracking import build_accelerator
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.errors import ConfigError


@pytest.fixture
def run(tiny_student: Path) -> RunConfig:
    options = {"method": "undistilled", "epochs": 1, "max_length": 32, "batch_size": 16, "limit_train": 40}
    return resolve({"task": "movie-sentiment", "student": str(tiny_student), **options}, "audio")


def read_back(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars of tensorboard's event files, by tensorboard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]
    }


def test_tensorboard_gets_the_numbers_of_the_log(run: RunConfig, cache: TeacherCache, tmp_path: Path) -> None:
    fit(run, cache, tmp_path, quiet=True, session=Session(trackers=("tensorboard",)))
    scalars = read_back(tmp_path / "tracking" / "armada-distill")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    wanted = [line["student/total"] for line in lines if "student/total" in line]
    assert [step for step, _ in scalars["student/total"]] == [1, 2, 3]
    assert [value for _, value in scalars["student/total"]] == pytest.approx(wanted, rel=1e-6)
    (chosen,) = scalars["selection/accuracy"]
    assert chosen == (3, pytest.approx(lines[-1]["selection/accuracy"], rel=1e-6))


def test_trackers_are_known_and_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trackers_of(["tensorboard", "tensorboard, tensorboard"]) == ("tensorboard",)
    assert trackers_of([]) == ()
    with pytest.raises(ConfigError, match="--tracker mlflow: wanted tensorboard or wandb"):
        trackers_of(["mlflow"])
    monkeypatch.setattr("distill.session.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"--tracker tensorboard: it is not installed; run: pip install .*\[trackers\]"
    ):
        trackers_of(["tensorboard"])


def test_the_device_of_an_earlier_run_in_this_process_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_accelerator(tmp_path, (), cpu=True)
    monkeypatch.setitem(PartialState._shared_state, "device", torch.device("cuda"))
    assert build_accelerator(tmp_path, (), cpu=True).device == torch.device("cpu")
