import errno
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from distill.export import disk_errors

WRITE = """
import resource, signal, sys, torch
from safetensors.torch import save_file
from distill.export import disk_errors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with disk_errors(sys.argv[1]):
        save_file({"x": torch.zeros(10_000)}, sys.argv[1])
except OSError as error:
    print(error.errno, error.filename)
"""


def test_a_full_disk_is_an_os_error_that_names_the_file(repository: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "x.safetensors")
    start = [sys.executable, "-c", WRITE, target]
    finished = subprocess.run(start, cwd=repository, capture_output=True, text=True, check=True)

    assert finished.stdout.split() == [str(errno.EFBIG), target]


def test_other_faults_of_safetensors_stay_what_they_are() -> None:
    with pytest.raises(SafetensorError), disk_errors(Path("x")):
        raise SafetensorError("two tensors share memory")
