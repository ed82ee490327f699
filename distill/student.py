"""The student: a plain sequence classifier of transformers, with two more heads while it distils.

Letters: B batch, T tokens, D width of the student, C outputs, P manifold.
"""

from typing import Any

from torch import Tensor, nn

from distill.aligner import head, initialise
from distill.orthogonal import OrthogonalProjection
from distill.pooling import plain_of, pooling_of
from distill.readings import READINGS
from distill.view import View


class Student(nn.Module):
    """A sequence classifier that answers with a View.

    Args:
        backbone: a plain `AutoModelForSequenceClassification`, or one in an adapter of peft; all that is
            kept after training.
        manifold_dim: P; None gives a student without projection and auxiliary head.
        reading: row of READINGS, of the aligner beside it.
        auxiliary: with an auxiliary head on the projection, where the reading has one.
    """

    def __init__(
        self,
        backbone: Any,
        manifold_dim: int | None = None,
        reading: str = "reference",
        *,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        pooling = pooling_of(self.plain)
        assert pooling is not None, "load_backbone refuses it"
        self.pooling = pooling
        self.projection: nn.Module | None = None
        self.aux_head: nn.Sequential | None = None
        if manifold_dim is not None:
            row, width = READINGS[reading], pooling.width(self.plain)
            self.projection = projection_of(width, manifold_dim, orthogonal=row.orthogonal_student)
            if auxiliary and row.projected != "nothing":
                self.aux_head = head(manifold_dim, backbone.config.num_labels, row.head_dropout)
                self.aux_head.apply(initialise)

    @property
    def plain(self) -> Any:
        """The model of transformers, also inside an adapter."""
        return plain_of(self.backbone)

    def forward(self, **tokens: Tensor) -> View:
        """Answer for a batch: `input_ids`, `attention_mask` and, for pairs, `token_type_ids`, each (B, T)."""
        pooled_BD = self.pooling.pooled(self.plain, tokens)
        logits_BC = self.pooling.logits(self.plain, pooled_BD)
        if self.projection is None:
            return View(logits_BC)
        latent_BP = self.projection(pooled_BD)
        return View(logits_BC, None if self.aux_head is None else self.aux_head(latent_BP), latent_BP)


def projection_of(width: int, manifold_dim: int, *, orthogonal: bool) -> nn.Module:
    """The projection of a student, (B, D) to (B, P), as the aligner's reading has it."""
    if orthogonal:
        return OrthogonalProjection(width, manifold_dim)
    return nn.Linear(width, manifold_dim, bias=False).apply(initialise)
