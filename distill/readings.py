"""The readings of the aligner's architecture, one row each.

Imports nothing, so that --help answers at once. Letters: H width of the aligner, P manifold.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of the paper, as differences between aligners and between the students beside them.

    Attributes:
        hidden_dim: H, where no other is given.
        manifold_dim: P, where no other is given; None takes the width of the representation.
        num_layers: ReLU layers of the encoder.
        projected: what the orthogonal projection reads: the representation itself or the encoder's output.
            With `nothing` there is neither projection nor auxiliary head in either tower, but layers more,
            until the aligner is as large as the reference one; its encoder's output is the latent.
        head_dropout: before each head of the aligner and before the student's auxiliary head.
        orthogonal_student: the student's projection is kept orthogonal too; else it is a plain linear map.
    """

    hidden_dim: int
    manifold_dim: int | None = None
    num_layers: int = 2
    projected: Literal["representation", "hidden", "nothing"] = "representation"
    head_dropout: float = 0.1
    orthogonal_student: bool = False


READINGS: dict[str, Reading] = {
    "reference": Reading(hidden_dim=768),
    "paper": Reading(
        hidden_dim=512, manifold_dim=768, projected="hidden", head_dropout=0.0, orthogonal_student=True
    ),
    "capacity-matched": Reading(hidden_dim=768, projected="nothing"),
}
