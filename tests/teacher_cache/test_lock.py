"""One writer at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import LockedError
from teacher_cache.lock import holder_of, writer_lock

HOLD = """
import sys
from pathlib import Path
from teacher_cache.lock import writer_lock
with writer_lock(Path(sys.argv[1])) as note:
    note(7)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_named_until_it_ends(tmp_path: Path, repository: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(LockedError, match=rf"is being written by process {other.pid} on "),
            writer_lock(tmp_path),
        ):
            pass
        holder = holder_of(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.rows_before) == (other.pid, 7)
        other.kill()
    assert holder_of(tmp_path) is None
    with writer_lock(tmp_path):
        pass


def test_nobody_holds_a_folder_without_a_lock(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
