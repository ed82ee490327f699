"""A projection that keeps lengths and angles, and is kept so while it trains.

Letters: B batch, D width that goes in, P manifold.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


def nearest_orthonormal(weight_PD: Tensor) -> Tensor:
    """The orthonormal factor of a QR decomposition, with the signs that make it unique.

    Plain QR may flip columns from one step to the next; R's diagonal made positive keeps a matrix that
    is orthonormal already.

    Args:
        weight_PD: float32, full rank, (P, D).

    Returns:
        (P, D); its smaller Gram matrix is the identity.

    Source: Absil, Mahony, Sepulchre, Optimization Algorithms on Matrix Manifolds, example 4.1.3.
    """
    tall = weight_PD if weight_PD.shape[0] >= weight_PD.shape[1] else weight_PD.T
    q, r = torch.linalg.qr(tall)
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0)
    return (q * signs) if tall is weight_PD else (q * signs).T


class OrthogonalProjection(nn.Module):
    """A bias-free linear map with orthonormal rows or columns, whichever are fewer.

    Its weight is plain, float32 and free of weight decay; `retract` must follow every optimiser step. The
    parametrisation that torch has costs more than the student's whole step (docs/decisions/0005).
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        """A random orthonormal map, uniform over all of them."""
        super().__init__()
        self.weight = nn.Parameter(nearest_orthonormal(torch.randn(out_features, in_features)))

    def forward(self, values_BD: Tensor) -> Tensor:
        """Project (B, D) to (B, P)."""
        return linear(values_BD, self.weight)

    @torch.no_grad()
    def retract(self) -> None:
        """Return to the orthonormal matrices after an optimiser step has left them."""
        self.weight.copy_(nearest_orthonormal(self.weight))


def retract_all(module: nn.Module) -> None:
    """Retract every orthogonal projection inside a module."""
    for part in module.modules():
        if isinstance(part, OrthogonalProjection):
            part.retract()
