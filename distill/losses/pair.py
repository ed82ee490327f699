"""What every loss between the two towers does to its tensors first."""

import torch
from torch import Tensor

from schemas.errors import ShapeError


def comparable(student: Tensor, aligner: Tensor) -> tuple[Tensor, Tensor]:
    """Make the two towers' tensors safe to compare, and the aligner's a constant.

    At least float32, since a batch mean in bfloat16 keeps three digits. No gradient reaches the aligner:
    its task is learnt from labels alone.

    Args:
        student: of the student, float, any shape.
        aligner: of the aligner, float, the same shape.

    Returns:
        Both in one dtype, float32 or wider, the aligner's detached.

    Raises:
        ShapeError: the two shapes differ.

    Source: arXiv 2603.10877, section 3.3; the detachment is in the authors' code only.
    """
    if student.shape != aligner.shape:
        raise ShapeError(
            f"student {tuple(student.shape)} and aligner {tuple(aligner.shape)} must have one shape; "
            "give both towers the same number of outputs and the same --manifold-dim"
        )
    dtype = torch.promote_types(torch.promote_types(student.dtype, aligner.dtype), torch.float32)
    return student.to(dtype), aligner.detach().to(dtype)
