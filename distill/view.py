"""What passes between the parts of stage two: a batch goes in, a view comes out of either tower.

Letters: B batch, T tokens, C outputs (classes, or 1 for regression), P manifold, D width of the
representation (of the hidden states in `TokenView`), N tokens, V vocabulary of the student.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from distill.means import WHOLE, Means
from distill.teacher_tokens import TeacherTokens

# A target that counts for no loss.
IGNORED = -100


@dataclass(frozen=True, slots=True)
class TokenView:
    """What a causal student says of N tokens, short of its logits: those are N x V, and are made in parts.

    Attributes:
        hidden_ND: what the language-modelling head reads, at the position before each token, float, (N, D).
        head_VD: the head's weight, float, (V, D); V may be padded beyond the tokenizer's ids.
        targets_N: the tokens, int64, (N,); -100 where a token counts for no loss.
        bias_V: the head's bias, float, (V,), of the few families that have one.
    """

    hidden_ND: Tensor
    head_VD: Tensor
    targets_N: Tensor
    bias_V: Tensor | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What a tower says of B examples. A tower that has no such head leaves None.

    Attributes:
        logits_BC: of the output head, float, (B, C); where the task is generative, what it takes the
            representation to be, C being its width.
        aux_logits_BC: the same of the auxiliary head, which reads the projection.
        latent_BP: the projection into the shared space, float, (B, P).
        tokens: of the answers that a generative task has, row after row.
    """

    logits_BC: Tensor | None = None
    aux_logits_BC: Tensor | None = None
    latent_BP: Tensor | None = None
    tokens: TokenView | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """B examples on the device that trains; where processes share a batch, those of this one.

    Attributes:
        rows_B: rows of the split, from 0, of the whole batch, whoever has them.
        tokens: what the student's forward takes by name: `input_ids`, `attention_mask`, each (B, T).
        labels: int64 (B,) for one class; float (B, C) for several; float (B,) for regression; where the task
            is generative, what an aligner learns from: the representation.
        teacher_repr_BD: float32, (B, D); None where no tower reads it.
        teacher_tokens: what the teacher said of each answer token, row after row, or None.
        means: how means over the whole batch are taken.
    """

    rows_B: NDArray[np.int64]
    tokens: dict[str, Tensor]
    labels: Tensor
    teacher_repr_BD: Tensor | None = None
    teacher_tokens: TeacherTokens | None = None
    means: Means = WHOLE
