"""A tower in training: its module, its objective, its optimiser, and the one step that moves it."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from distill.accumulation import Portion
from distill.attention import attend_by_products
from distill.dropout import cheapen
from distill.hardware import room_for_weights
from distill.losses.objective import Objective
from distill.orthogonal import OrthogonalProjection, retract_all
from distill.processes import ALONE, Processes
from distill.rates import Rate, constant
from distill.sharding import average_uncut, clip, shard
from distill.view import View
from schemas.errors import StudentError

GRADIENT_NORM = 1.0
_WHOLE = Portion()


@dataclass(frozen=True, slots=True)
class Tower:
    """One of the two towers.

    Attributes:
        module: the tower itself.
        forward: the module, or what averages its gradients or compiles it around it.
        objective: that it learns.
        optimiser: of all its parameters.
        scheduler: of its learning rate.
        processes: that train it together.
        ddp: that averages its gradients; None where it is alone, sharded, or does not learn.
        sharded: its parameters lie in parts, one a process.
    """

    module: nn.Module
    forward: Any
    objective: Objective
    optimiser: Any
    scheduler: LambdaLR
    processes: Processes = ALONE
    ddp: DistributedDataParallel | None = None
    sharded: bool = False

    @contextmanager
    def adding(self, portion: Portion) -> Generator[None]:
        """Exchange no gradients between processes before the last batch of an optimiser step.

        Args:
            portion: of the step; forward and `step` stand inside.
        """
        if self.ddp is None or portion.ends:
            yield
            return
        with self.ddp.no_sync():
            yield

    def step(
        self, accelerator: Accelerator, total: Tensor, portion: Portion = _WHOLE, seen: View | None = None
    ) -> None:
        """Move the tower one step down its loss, its own gradient's norm clipped at 1.

        Args:
            accelerator: of the run.
            total: loss of a batch.
            portion: of the step that the batch is; all but the last only add their gradient.
            seen: what the tower said of the batch.
        """
        if self.ddp is not None and seen is not None:
            total = total + _nothing_of(seen)
        accelerator.backward(total * portion.share)
        if not portion.ends:
            return
        self._clip(accelerator)
        self.optimiser.step()
        self.scheduler.step()
        self.optimiser.zero_grad()
        retract_all(self.module)

    def _clip(self, accelerator: Accelerator) -> None:
        if self.sharded:
            average_uncut(self.module, self.processes)
            clip(self.module.parameters(), GRADIENT_NORM)
            return
        if self.ddp is not None:
            _check_gradients(self.module)
        accelerator.clip_grad_norm_(self.module.parameters(), GRADIENT_NORM)


def _nothing_of(seen: View) -> Tensor:
    """Zero, by way of every output: DDP waits for a gradient of each parameter, be it of a head unread."""
    outputs = [seen.logits_BC, seen.aux_logits_BC, seen.latent_BP]
    parts = [one[:0].float().sum() for one in outputs if one is not None]
    return torch.stack(parts).sum() if parts else torch.zeros(())


def _check_gradients(module: nn.Module) -> None:
    for name, one in module.named_parameters():
        if one.requires_grad and one.grad is None:
            raise StudentError(
                f"the parameter {name} has no part in the loss, so its processes would wait for each other "
                "without end; train in one process, or with --sharding full"
            )


def build_tower(
    accelerator: Accelerator,
    module: nn.Module,
    objective: Objective,
    lr: float,
    weight_decay: float,
    *,
    rate: Rate = constant,
    compiled: bool = False,
    processes: Processes = ALONE,
    sharded: bool = False,
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
        processes: that train it together.
        sharded: cut its parameters over them.

    Raises:
        StudentError: the device has no room for it.
    """
    if accelerator.device.type == "cpu":
        cheapen(module)
        attend_by_products(module)
    with room_for_weights(accelerator.device):
        if sharded:
            # Goes to the device layer by layer, so that the whole is never there.
            shard(module, accelerator.device, processes)
        # Fused needs every parameter on its device first.
        module.to(accelerator.device)
    optimiser = torch.optim.AdamW(parameter_groups(module, weight_decay), lr=lr, fused=True)
    scheduler = LambdaLR(optimiser, rate)
    optimiser = accelerator.prepare(optimiser)
    # What does not learn has nothing to exchange.
    learns = any(one.requires_grad for one in module.parameters())
    ddp = None
    if learns and not sharded and processes.count > 1:
        # No tower has buffers that training changes.
        ddp = DistributedDataParallel(module, forward_sync_buffers=False, gradient_as_bucket_view=True)
    forward = module if ddp is None else ddp
    if compiled:
        # Batches have a width of their own.
        forward = torch.compile(forward, dynamic=True)
    return Tower(module, forward, objective, optimiser, scheduler, processes, ddp, sharded)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that learn and decay, those that must not decay, and orthogonal ones, which must not either.

    The fused AdamW takes no group of which some are cut over processes, as orthogonal ones never are.
    """
    learning = [one for one in module.parameters() if one.requires_grad]
    orthogonal = {part.weight for part in module.modules() if isinstance(part, OrthogonalProjection)}
    decayed = [one for one in learning if one.ndim >= 2 and one not in orthogonal]
    plain = [one for one in learning if one.ndim < 2]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
        {"params": [one for one in learning if one in orthogonal], "weight_decay": 0.0},
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
