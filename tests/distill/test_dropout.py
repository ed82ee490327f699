import pytest
import torch
from torch import nn

from distill.dropout import CheapDropout, cheapen


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    dropped = CheapDropout(p)(torch.ones(1000, 1001))
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=2e-3)
    assert dropped.mean().item() == pytest.approx(1, abs=1e-2)
    assert dropped.unique().numel() == 2


def test_every_place_is_dropped_as_often() -> None:
    torch.manual_seed(0)
    shares = (CheapDropout(0.3)(torch.ones(40_000, 8)) == 0).float().mean(0)
    assert (shares - 0.3).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_ends_of_the_range_hold(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.ones(300_000, dtype=dtype)
    assert not CheapDropout(1.0)(values).any()
    assert CheapDropout(1e-9)(values).all()


def test_gradient_flows_where_values_did() -> None:
    torch.manual_seed(0)
    values = torch.randn(7, 9).requires_grad_()
    dropped = CheapDropout(0.5)(values)
    dropped.sum().backward()
    assert torch.equal(values.grad == 0, dropped == 0)
    assert set(values.grad.unique().tolist()) == {0.0, 2.0}


def test_evaluation_and_zero_leave_values_alone() -> None:
    values = torch.randn(3, 3)
    assert CheapDropout(0.5).eval()(values) is values
    assert CheapDropout(0.0)(values) is values


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4)])
def test_any_shape_and_type_with_one_seed(shape: tuple[int, ...]) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(CheapDropout(0.5)(torch.ones(shape, dtype=torch.bfloat16)))
    assert torch.equal(*results)
    assert results[0].dtype == torch.bfloat16
    assert results[0].shape == shape


def test_cheapen_changes_no_weight_and_no_name() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.3)))
    before = list(module.state_dict())
    cheapen(module)
    assert list(module.state_dict()) == before
    assert [type(module[1]), type(module[2][0])] == [CheapDropout, CheapDropout]
    assert (module[1].p, module[2][0].p) == (0.2, 0.3)
