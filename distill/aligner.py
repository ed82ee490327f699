"""The TS Aligner: the small tower that learns the student's task from the teacher's representation.

Letters: B batch, D width of the representation, H width of the aligner, C outputs, P manifold.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from distill.orthogonal import OrthogonalProjection
from distill.view import View

DROPOUT = 0.1
WEIGHT_SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignerDims:
    """Widths of an aligner.

    Attributes:
        teacher: D, of the cached representation.
        hidden: H.
        manifold: P.
        outputs: C.
    """

    teacher: int
    hidden: int
    manifold: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the paper, as differences between aligners.

    Attributes:
        num_layers: ReLU layers of the encoder.
        projects_hidden: the projection reads the encoder's output; else the representation itself.
        head_dropout: before each head.
    """

    num_layers: int = 2
    projects_hidden: bool = False
    head_dropout: float = DROPOUT


READINGS: dict[str, Reading] = {"reference": Reading()}


class TSAligner(nn.Module):
    """Encoder, output head, orthogonal projection and auxiliary head.

    Args:
        dims: widths.
        reading: row of READINGS.

    Source: arXiv 2603.10877, section 3.2 and the authors' code; docs/paper-map.md.
    """

    def __init__(self, dims: AlignerDims, reading: str = "reference") -> None:
        super().__init__()
        row = READINGS[reading]
        self.projects_hidden = row.projects_hidden
        widths = [dims.teacher, *[dims.hidden] * row.num_layers]
        self.encoder = nn.Sequential(*map(_layer, widths, widths[1:]))
        self.output_head = head(dims.hidden, dims.outputs, row.head_dropout)
        projected = dims.hidden if row.projects_hidden else dims.teacher
        self.projection = OrthogonalProjection(projected, dims.manifold)
        self.aux_head = head(dims.manifold, dims.outputs, row.head_dropout)
        self.apply(initialise)

    def forward(self, teacher_repr_BD: Tensor) -> View:
        """Answer for a batch of representations, (B, D)."""
        hidden_BH = self.encoder(teacher_repr_BD)
        latent_BP = self.projection(hidden_BH if self.projects_hidden else teacher_repr_BD)
        return View(self.output_head(hidden_BH), self.aux_head(latent_BP), latent_BP)


def head(in_features: int, out_features: int, dropout: float = DROPOUT) -> nn.Sequential:
    """Dropout, then linear."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(in_features, out_features))


def initialise(module: nn.Module) -> None:
    """Weights of linear layers from N(0, 0.02), biases zero; orthogonal ones keep theirs."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=WEIGHT_SPREAD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _layer(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_features, out_features), nn.ReLU(), nn.Dropout(DROPOUT))
