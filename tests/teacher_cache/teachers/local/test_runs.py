"""Whole runs of a local model: killed, stopped, with a row that fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

START = "import sys; sys.argv[0] = 'cache-teacher'; from teacher_cache.cli import main; main()"


@pytest.fixture
def run(repository: Path, causal: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start cache-teacher with the tiny model: `run(out, prompts, *options)`."""

    def started(out: Path, prompts: Path, *options: str) -> subprocess.Popen[str]:
        given = ["--model", f"transformers:{causal}", "--prompts", str(prompts), "--out", str(out), "--quiet"]
        return subprocess.Popen(
            [sys.executable, "-c", START, *given, *options],
            env=os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


def write_prompts(path: Path, prompts: list[str]) -> Path:
    rows = [
        {"example_id": f"row-{i:03d}", "split": "train", "fields": {}, "prompt": prompt}
        for i, prompt in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def wait_for(condition: Callable[[], Any]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within a minute")


def test_killed_and_resumed_it_leaves_the_same_bytes(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", ["x" * (i * 7 % 40 + 1) for i in range(36)])
    how = ["--store", "text,logprobs,repr", "--batch-size", "4", "--max-tokens", "40"]
    how += ["--sampling-temperature", "1", "--num-samples", "2"]
    whole, cut = (run(tmp_path / name, prompts, *how) for name in ("whole", "cut"))
    wait_for(lambda: any((tmp_path / "cut" / "journal").glob("*.journal")))
    cut.send_signal(signal.SIGKILL)
    assert cut.wait() == -signal.SIGKILL
    cut.communicate()
    assert not list((tmp_path / "cut").glob("*.parquet"))
    again = run(tmp_path / "cut", prompts, *how)
    for process in (whole, again):
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said

    (shard,) = (tmp_path / "whole").glob("*.parquet")
    assert (tmp_path / "cut" / shard.name).read_bytes() == shard.read_bytes()


def test_ctrl_c_while_it_writes_ends_the_run_at_once(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", ["Hi"] * 5000)
    process = run(tmp_path / "cache", prompts, "--max-tokens", "200")
    wait_for(lambda: any((tmp_path / "cache" / "journal").glob("*.journal")))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)

    assert process.returncode == 130
    assert said.strip() == "cache-teacher: interrupted; what was done is kept, the same command goes on"


def test_a_row_that_fails_ends_nothing(run: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", ["Hi", "x" * 400, "Ho"])
    process = run(tmp_path / "cache", prompts, "--max-tokens", "8", "--store", "text,logprobs")
    _, said = process.communicate(timeout=300)

    assert process.returncode == 3, said
    found = pl.read_parquet(tmp_path / "cache" / "*.parquet")
    assert found["error"].to_list() == [
        None,
        "the prompt has 418 tokens, --max-tokens is 8; the model's context is 256 in all",
        None,
    ]
    assert found["topk_ids"].is_null().to_list() == [False, True, False]
