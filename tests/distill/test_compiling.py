import pytest
import torch

from distill.compiling import able_to_compile
from schemas.errors import StudentError


class CannotCompileError(RuntimeError):
    """As torch raises it, without importing for seconds what would."""

    __module__ = "torch._inductor.exc"


def test_a_student_that_cannot_be_compiled_is_one_line() -> None:
    wanted = r"--compile: .*No working C\+\+ compiler found in g\+\+.*begin anew without --compile$"
    with pytest.raises(StudentError, match=wanted), able_to_compile():
        raise CannotCompileError("InvalidCxxCompiler:\nNo working C++ compiler found in g++")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), able_to_compile():
        torch.mm(torch.ones(1, 2), torch.ones(3, 1))
