import pytest
import torch
from torch import nn

from distill.orthogonal import OrthogonalProjection, nearest_orthonormal, retract_all


def error(weight: torch.Tensor) -> float:
    weight = weight.detach().double()
    small = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    return (small - torch.eye(len(small), dtype=torch.float64)).abs().max().item()


@pytest.mark.parametrize(("in_features", "out_features"), [(24, 24), (24, 40), (40, 24)])
def test_stays_orthonormal_over_200_steps_beside_weight_decay(in_features: int, out_features: int) -> None:
    torch.manual_seed(0)
    projection, rest = OrthogonalProjection(in_features, out_features), nn.Linear(out_features, 2)
    optimiser = torch.optim.AdamW(
        [{"params": [projection.weight], "weight_decay": 0.0}, {"params": rest.parameters()}],
        lr=3e-3,
        weight_decay=0.01,
    )
    start = projection.weight.detach().clone()
    for _ in range(200):
        optimiser.zero_grad()
        rest(projection(torch.randn(16, in_features))).square().mean().backward()
        optimiser.step()
        retract_all(nn.Sequential(projection, rest))
    assert error(projection.weight) < 1e-5
    assert (projection.weight - start).abs().max() > 0.05


def test_retraction_keeps_what_is_orthonormal_already() -> None:
    torch.manual_seed(1)
    weight = OrthogonalProjection(12, 20).weight.detach()
    assert torch.allclose(nearest_orthonormal(weight), weight, atol=1e-6)
    assert torch.allclose(nearest_orthonormal(-weight), -weight, atol=1e-6)


def test_lengths_and_angles_survive_the_projection() -> None:
    torch.manual_seed(2)
    values = torch.randn(5, 12)
    projected = OrthogonalProjection(12, 20)(values)
    assert torch.allclose(projected @ projected.T, values @ values.T, atol=1e-5)
