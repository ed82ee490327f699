"""The launcher that users have, as they start it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.cache import TeacherCache

ROOT = Path(__file__).parents[3]
# Standalone, so that it looks for a free port itself.
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


def has_begun(folder: Path) -> bool:
    """Whether a step was logged."""
    log = folder / "metrics.jsonl"
    return log.exists() and log.stat().st_size > 0


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_once_and_stops_all(
    cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> None:
    out, heard = tmp_path / "run", tmp_path / "heard"
    options = ("--shards", str(cache.folder), "--student", str(tiny_student), "--out", str(out), "--quiet")
    # More epochs than anyone waits for: the signal comes in their midst, however fast they are.
    command = [
        sys.executable,
        "-m",
        *TORCHRUN,
        "distill",
        *options,
        "--epochs",
        "100000",
        "--max-length",
        "32",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with heard.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=environment)
    try:
        while process.poll() is None and not has_begun(out):
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait() != 0
    finally:
        process.kill()
    ours = [line for line in heard.read_text().splitlines() if line.startswith("distill: ")]
    assert len(ours) == 1, heard.read_text()
    assert "stopped by SIGTERM after step" in ours[0]
    assert (out / "checkpoint" / "latest.json").exists()
