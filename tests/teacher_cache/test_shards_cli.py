"""teacher-shards: inspect, status, verify, probe."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from teacher_cache.shards_cli import main

Said = tuple[int, str, str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["teacher-shards", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), *capsys.readouterr()

    return call


@pytest.fixture
def cache(prompts: Callable[..., Path], run: Callable[..., Any], tmp_path: Path) -> Path:
    run(prompts(60))
    return tmp_path / "cache"


def test_inspect_shows_the_teacher_and_the_first_rows(say: Callable[..., Said], cache: Path) -> None:
    code, out, _ = say("inspect", cache, "--rows", 2, "--json")

    found = json.loads(out)
    assert code == 0
    assert found["teacher"]["backend"] == "fast"
    assert [row["example_id"] for row in found["first_rows"]] == ["row-0", "row-1"]
    assert found["first_rows"][0]["teacher_repr"] == "16 values"
    _, plain, _ = say("inspect", cache)
    assert {"  backend: fast", "first row 1:", "first row 3:", "  retries: 0"} <= set(plain.splitlines())


def test_without_a_command_the_help_is_shown_as_it_is(say: Callable[..., Said]) -> None:
    code, _, err = say()
    assert code == 2
    assert err.startswith("Usage: teacher-shards ")
    assert "\n  verify   Compare every checksum" in err


def test_status_of_a_whole_cache(say: Callable[..., Said], cache: Path) -> None:
    code, out, _ = say("status", cache, "--json")

    assert code == 0
    assert json.loads(out)["sealed_rows"] == 60


def test_verify_finds_every_fault_one_line_each(say: Callable[..., Said], cache: Path) -> None:
    assert say("verify", cache)[::2] == (0, f"{cache}: every checksum holds\n")
    train, test = cache / "train-00001-of-00005.parquet", cache / "test-00000-of-00001.parquet"
    data = bytearray(train.read_bytes())
    data[len(data) // 2] ^= 1
    train.write_bytes(data)
    test.unlink()
    (cache / "stats.safetensors").write_bytes(b"")

    code, _, err = say("verify", cache)
    assert code == 1
    assert [line.partition(" ")[0] for line in err.splitlines()] == [
        str(train), str(test), str(cache / "stats.safetensors")
    ]  # fmt: skip


def test_probe_stands_beside_the_majority_class(say: Callable[..., Said], cache: Path) -> None:
    code, out, _ = say("probe", cache, "--json")

    found = json.loads(out)
    assert (code, found["metric"], found["rows"], found["folds"]) == (0, "accuracy", 42, 5)
    assert 0.4 < found["baseline"] < 0.6
    assert 0 <= found["mean"] <= 1
    assert "linear probe" in say("probe", cache)[1]


def test_a_probe_needs_representations_and_enough_rows(
    say: Callable[..., Said], prompts: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    run(prompts(10), out=tmp_path / "none", model="none")
    run(prompts(10), out=tmp_path / "few")

    assert "stores no representations" in say("probe", tmp_path / "none")[2]
    code, _, err = say("probe", tmp_path / "few")
    assert code == 1
    assert "3 rows of the rarest label, 5 folds want as many" in err


def test_a_folder_that_is_no_cache_is_one_line(say: Callable[..., Said], tmp_path: Path) -> None:
    for command in ("inspect", "status", "verify", "probe"):
        code, _, err = say(command, tmp_path)
        assert code == 1
        assert err.count("\n") == 1
        assert "no manifest.json" in err
