"""The TS Aligner: the small tower that learns the student's task from the teacher's representation.

Letters: B batch, D width of the representation, H width of the aligner, C outputs, P manifold.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from distill.config import DistillationConfig
from distill.orthogonal import OrthogonalProjection
from distill.readings import READINGS, Reading
from distill.view import View
from schemas.errors import ConfigError

DROPOUT = 0.1
WEIGHT_SPREAD = 0.02
# Plain ReLU layers, deeper than any that are known to train.
MOST_LAYERS = 64


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


def dims_of(distillation: DistillationConfig, teacher: int, outputs: int) -> AlignerDims:
    """The widths of a run's aligner.

    Args:
        distillation: H and, where given, P.
        teacher: D, of the cached representation.
        outputs: C.
    """
    manifold = distillation.manifold_dim or teacher
    if READINGS[distillation.aligner].projected == "nothing":
        manifold = distillation.hidden_dim
    return AlignerDims(teacher=teacher, hidden=distillation.hidden_dim, manifold=manifold, outputs=outputs)


class TSAligner(nn.Module):
    """Encoder and output head; orthogonal projection and auxiliary head where the reading has them.

    Args:
        dims: widths.
        reading: row of READINGS.
        auxiliary: with an auxiliary head on the projection, where there is one.

    Source: arXiv 2603.10877, section 3.2, Table 11 and the authors' code; docs/paper-map.md.
    """

    def __init__(self, dims: AlignerDims, reading: str = "reference", *, auxiliary: bool = True) -> None:
        super().__init__()
        row = READINGS[reading]
        self.projects_hidden = row.projected == "hidden"
        widths = [dims.teacher, *[dims.hidden] * num_layers_of(row, dims)]
        self.encoder = nn.Sequential(*map(_layer, widths, widths[1:]))
        self.output_head = head(dims.hidden, dims.outputs, row.head_dropout)
        self.projection: OrthogonalProjection | None = None
        self.aux_head: nn.Sequential | None = None
        if row.projected != "nothing":
            projected = dims.hidden if self.projects_hidden else dims.teacher
            self.projection = OrthogonalProjection(projected, dims.manifold)
            if auxiliary:
                self.aux_head = head(dims.manifold, dims.outputs, row.head_dropout)
        self.apply(initialise)

    def forward(self, teacher_repr_BD: Tensor) -> View:
        """Answer for a batch of representations, (B, D)."""
        hidden_BH = self.encoder(teacher_repr_BD)
        latent_BP = hidden_BH
        if self.projection is not None:
            latent_BP = self.projection(hidden_BH if self.projects_hidden else teacher_repr_BD)
        aux_logits_BC = None if self.aux_head is None else self.aux_head(latent_BP)
        return View(self.output_head(hidden_BH), aux_logits_BC, latent_BP)


def num_layers_of(reading: Reading, dims: AlignerDims) -> int:
    """Layers of an encoder.

    Where nothing is projected, as many more as replace the parameters of the reference aligner's projection,
    square on the representation, and of its auxiliary head, rounded up.

    Raises:
        ConfigError: they would be too many to train, as for a very wide representation.

    Source: arXiv 2603.10877, Table 11; how layers are added is ours.
    """
    if reading.projected != "nothing":
        return reading.num_layers
    replaced = dims.teacher * dims.teacher + dims.teacher * dims.outputs + dims.outputs
    layers = reading.num_layers + math.ceil(replaced / (dims.hidden * dims.hidden + dims.hidden))
    if layers > MOST_LAYERS:
        raise ConfigError(
            f"--aligner capacity-matched: {dims.teacher} values of a representation would need {layers} "
            f"layers of width {dims.hidden}, wanted at most {MOST_LAYERS}; raise --hidden-dim, or give a "
            "cache of narrower representations"
        )
    return layers


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
