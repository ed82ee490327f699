import pytest
import torch
from accelerate import Accelerator
from torch import nn

from distill.accumulation import portion
from distill.aligner import AlignerDims, TSAligner
from distill.config import DistillationConfig
from distill.losses.labelled import aligner_objective
from distill.rates import rate_of
from distill.tower import build_tower, parameter_groups
from schemas.tasks import find_task

DIMS = AlignerDims(teacher=12, hidden=8, manifold=12, outputs=2)
LABELS, TASK = torch.tensor([0, 1]), find_task("movie-sentiment")


def test_matrices_decay_and_nothing_else() -> None:
    module = nn.ModuleDict({"aligner": TSAligner(DIMS), "words": nn.Embedding(5, 3), "norm": nn.LayerNorm(3)})
    named = {id(one): name for name, one in module.named_parameters()}
    groups = parameter_groups(module, 0.01)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0, 0.0]
    decayed, plain, orthogonal = ([named[id(one)] for one in group["params"]] for group in groups)
    assert sorted([*decayed, *plain, *orthogonal]) == sorted(named.values())
    assert orthogonal == ["aligner.projection.weight"]
    assert all(name.endswith("weight") and "norm" not in name for name in decayed)
    assert all("bias" in name or "norm" in name for name in plain)


def test_a_step_clips_moves_and_retracts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    objective = aligner_objective(TASK, DistillationConfig())
    tower = build_tower(accelerator, TSAligner(DIMS), objective, lr=0.01, weight_decay=0.01)
    before = {name: one.detach().clone() for name, one in tower.module.named_parameters()}
    norms = []
    step = tower.optimiser.step

    def watch() -> None:
        gradients = [one.grad for one in tower.module.parameters() if one.grad is not None]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())
        step()

    monkeypatch.setattr(tower.optimiser, "step", watch)
    total = objective(tower.forward(torch.randn(4, 12) * 100), None, torch.tensor([0, 1, 1, 0])).total
    tower.step(accelerator, total * 1000)
    assert norms == [pytest.approx(1.0, abs=1e-4)]
    weight = tower.module.projection.weight.detach()
    assert not torch.equal(weight, before["projection.weight"])
    assert (weight @ weight.T - torch.eye(12)).abs().max() < 1e-5
    assert all(one.grad is None for one in tower.module.parameters())


def test_two_batches_of_one_step_move_it_as_one_batch_of_both() -> None:
    values, labels = torch.randn(8, 12), torch.tensor([0, 1] * 4)
    weights = []
    for accumulate in (1, 2):
        torch.manual_seed(0)
        accelerator = Accelerator(cpu=True, mixed_precision="no")
        objective = aligner_objective(TASK, DistillationConfig())
        tower = build_tower(accelerator, TSAligner(DIMS), objective, lr=0.01, weight_decay=0.01)
        tower.module.eval()
        for index in range(accumulate):
            rows = slice(index * 8 // accumulate, (index + 1) * 8 // accumulate)
            total = objective(tower.forward(values[rows]), None, labels[rows]).total
            tower.step(accelerator, total, portion(index, accumulate, accumulate))
        weights.append(tower.module.state_dict())
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], atol=1e-6), name


def test_the_rate_follows_its_schedule() -> None:
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    objective = aligner_objective(TASK, DistillationConfig())
    tower = build_tower(accelerator, TSAligner(DIMS), objective, 0.1, 0.0, rate=rate_of("linear", 0.5, 4))
    rates = []
    for _ in range(4):
        rates.append(tower.optimiser.param_groups[0]["lr"])
        tower.step(accelerator, objective(tower.forward(torch.randn(2, 12)), None, LABELS).total)
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.05])
