"""A tower in training: its module, its objective, its optimiser, and the one step that moves it."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from distill.dropout import cheapen
from distill.losses.objective import Objective
from distill.orthogonal import OrthogonalProjection, retract_all

GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Tower:
    """One of the two towers.

    Attributes:
        module: the tower itself.
        forward: the module as accelerate prepared it.
        objective: that it learns.
        optimiser: of all its parameters.
    """

    module: nn.Module
    forward: Any
    objective: Objective
    optimiser: Any

    def step(self, accelerator: Accelerator, total: Tensor) -> None:
        """Move the tower one step down its loss, its gradient's norm clipped at 1."""
        accelerator.backward(total)
        accelerator.clip_grad_norm_(self.module.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.optimiser.zero_grad()
        retract_all(self.module)


def build_tower(
    accelerator: Accelerator, module: nn.Module, objective: Objective, lr: float, weight_decay: float
) -> Tower:
    """Place a module on the device and give it an AdamW.

    Args:
        accelerator: of the run.
        module: the tower.
        objective: that it learns.
        lr: constant learning rate.
        weight_decay: on matrices; biases, norms and orthogonal weights have none.
    """
    if accelerator.device.type == "cpu":
        cheapen(module)
    # Fused needs every parameter on its device first.
    module.to(accelerator.device)
    optimiser = torch.optim.AdamW(parameter_groups(module, weight_decay), lr=lr, fused=True)
    forward, optimiser = accelerator.prepare(module, optimiser)
    return Tower(module, forward, objective, optimiser)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that decay, and those that must not."""
    orthogonal = {part.weight for part in module.modules() if isinstance(part, OrthogonalProjection)}
    decayed = [one for one in module.parameters() if one.ndim >= 2 and one not in orthogonal]
    plain = [one for one in module.parameters() if one.ndim < 2 or one in orthogonal]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
