"""What passes between the parts of stage two: a batch goes in, a view comes out of either tower.

Letters: B batch, T tokens, C outputs (classes, or 1 for regression), P manifold, D width of the
representation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class View:
    """What a tower says of B examples. A tower that has no such head leaves None.

    Attributes:
        logits_BC: of the output head, float, (B, C).
        aux_logits_BC: of the auxiliary head, which reads the projection, float, (B, C).
        latent_BP: the projection into the shared space, float, (B, P).
    """

    logits_BC: Tensor
    aux_logits_BC: Tensor | None = None
    latent_BP: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """B examples on the device that trains.

    Attributes:
        rows_B: their rows in the split, from 0, so that a message can name them.
        tokens: what the student's forward takes by name: `input_ids`, `attention_mask`, each (B, T).
        labels: int64 (B,) for one class; float (B, C) for several; float (B,) for regression.
        teacher_repr_BD: float32, (B, D); None where no tower reads it.
    """

    rows_B: NDArray[np.int64]
    tokens: dict[str, Tensor]
    labels: Tensor
    teacher_repr_BD: Tensor | None = None
