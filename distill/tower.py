"""A tower in training: its module, its objective, its optimiser, and the one step that moves it."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from distill.accumulation import Portion
from distill.dropout import cheapen
from distill.losses.objective import Objective
from distill.orthogonal import OrthogonalProjection, retract_all
from distill.rates import Rate, constant

GRADIENT_NORM = 1.0
_WHOLE = Portion()


@dataclass(frozen=True, slots=True)
class Tower:
    """One of the two towers.

    Attributes:
        module: the tower itself.
        forward: the module as accelerate prepared it.
        objective: that it learns.
        optimiser: of all its parameters.
        scheduler: of its learning rate.
    """

    module: nn.Module
    forward: Any
    objective: Objective
    optimiser: Any
    scheduler: LambdaLR

    def step(self, accelerator: Accelerator, total: Tensor, portion: Portion = _WHOLE) -> None:
        """Move the tower one step down its loss, its own gradient's norm clipped at 1.

        Args:
            accelerator: of the run.
            total: loss of a batch.
            portion: of the step that the batch is; all but the last only add their gradient.
        """
        accelerator.backward(total * portion.share)
        if not portion.ends:
            return
        accelerator.clip_grad_norm_(self.module.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.scheduler.step()
        self.optimiser.zero_grad()
        retract_all(self.module)


def build_tower(
    accelerator: Accelerator,
    module: nn.Module,
    objective: Objective,
    lr: float,
    weight_decay: float,
    *,
    rate: Rate = constant,
    compiled: bool = False,
) -> Tower:
    """Place a module on the device and give it an AdamW.

    Args:
        accelerator: of the run.
        module: the tower.
        objective: that it learns.
        lr: highest learning rate.
        weight_decay: on matrices; biases, norms and orthogonal weights have none.
        rate: factor of the learning rate by step.
        compiled: the forward goes through torch.compile.
    """
    if accelerator.device.type == "cpu":
        cheapen(module)
    # Fused needs every parameter on its device first.
    module.to(accelerator.device)
    optimiser = torch.optim.AdamW(parameter_groups(module, weight_decay), lr=lr, fused=True)
    scheduler = LambdaLR(optimiser, rate)
    forward, optimiser = accelerator.prepare(module, optimiser)
    if compiled:
        # Batches have a width of their own.
        forward = torch.compile(forward, dynamic=True)
    return Tower(module, forward, objective, optimiser, scheduler)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that learn and decay, and those that must not decay."""
    learning = [one for one in module.parameters() if one.requires_grad]
    orthogonal = {part.weight for part in module.modules() if isinstance(part, OrthogonalProjection)}
    decayed = [one for one in learning if one.ndim >= 2 and one not in orthogonal]
    plain = [one for one in learning if one.ndim < 2 or one in orthogonal]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def learnt(module: nn.Module) -> dict[str, Tensor]:
    """What a run changes of a module, by name: an adapter's base stays as it was loaded.

    A module that is frozen whole was drawn in this run and stands nowhere else, so all of it is given.
    """
    frozen = {name for name, one in module.named_parameters() if not one.requires_grad}
    state = module.state_dict()
    if len(frozen) == sum(1 for _ in module.parameters()):
        return state
    return {name: value for name, value in state.items() if name not in frozen}
