"""What a run stands on, and what it says where that is too small."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.again import load_student
from distill.config import RunConfig, resolve
from distill.hardware import is_out_of_memory
from distill.student import Student
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.errors import StudentError


@pytest.fixture
def run(tiny_student: Path) -> RunConfig:
    small = {"epochs": 1, "batch_size": 16, "max_length": 32, "precision": "fp32", "device": "cpu"}
    options = {"task": "movie-sentiment", "student": str(tiny_student), "method": "undistilled"}
    return resolve({**options, **small}, "audio")


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
    ],
)
def test_a_want_of_memory_is_known_by_whatever_says_it(*, error: RuntimeError, is_it: bool) -> None:
    assert is_out_of_memory(error) is is_it


def test_weights_that_a_device_cannot_hold_are_one_line(
    run: RunConfig, cache: TeacherCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("made", "fresh"):
        (tmp_path / name).mkdir()
    fit(run, cache, tmp_path / "made", quiet=True)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nand much more text")

    monkeypatch.setattr(Student, "to", full)
    wanted = r"^out of memory while weights were put on cpu: see .* a smaller --student, .*$"
    with pytest.raises(StudentError, match=wanted):
        fit(run, cache, tmp_path / "fresh", quiet=True)
    with pytest.raises(StudentError, match=wanted):
        load_student(run, tmp_path / "made")
