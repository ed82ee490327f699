import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from distill.export import disk_errors, export_student

WRITE = """
import resource, signal, sys
from tokenizers import Tokenizer, models
from safetensors.numpy import save_file
from distill.export import disk_errors
import numpy as np
writers = {
    "safetensors": lambda path: save_file({"x": np.zeros(10_000)}, path),
    "python": lambda path: open(path, "w").write("x" * 10_000),
    "tokenizers": lambda path: Tokenizer(models.WordLevel({str(n): n for n in range(9999)}, "0")).save(path),
}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with disk_errors(sys.argv[1]):
        writers[sys.argv[2]](sys.argv[1])
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.parametrize("library", ["safetensors", "python", "tokenizers"])
def test_a_full_disk_is_an_os_error_that_names_the_file(
    repository: Path, tmp_path: Path, library: str
) -> None:
    target = str(tmp_path / "file")
    start = [sys.executable, "-c", WRITE, target, library]
    finished = subprocess.run(start, cwd=repository, capture_output=True, text=True, check=True)

    assert finished.stdout.split() == [str(errno.EFBIG), target]


def test_other_faults_of_safetensors_stay_what_they_are() -> None:
    with pytest.raises(SafetensorError), disk_errors(Path("x")):
        raise SafetensorError("two tensors share memory")


def test_a_student_whose_tokenizer_does_not_fit_is_an_os_error(tmp_path: Path) -> None:
    class Tokenizer:
        def save_pretrained(self, folder: Path) -> None:
            raise Exception("No space left on device (os error 28)")  # noqa: TRY002 - as tokenizers does

    class Backbone:
        def save_pretrained(self, folder: Path, **_: Any) -> None:
            folder.mkdir()

    with pytest.raises(OSError, match="No space left") as caught:
        export_student(tmp_path / "student", Backbone(), Tokenizer())
    assert caught.value.filename == str(tmp_path / "student")
