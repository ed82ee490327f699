"""Orthogonal projections: retraction after each step against torch's parametrisation.

A step is what training adds for one projection: forward and backward on a batch of 32, AdamW, and what keeps
the weight orthonormal. Speed is by the CPU time of the process, so that other work does not count.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from benchmarks.measure import Claim, claim_of
from distill.orthogonal import OrthogonalProjection, retract_all

SIZES = ((384, 384), (384, 768))
ROUNDS, BATCH = 3, 32
OUR_STEPS, PEER_STEPS, DECAYED_STEPS = 20, 2, 10
DECAY = 0.01


def run() -> list[Claim]:
    """Measure the claims, both ways of each in turn."""
    torch.manual_seed(0)
    speeds = [_speed(*size) for size in SIZES]
    return [*speeds, _drift(), _collapse()]


def _speed(in_features: int, out_features: int) -> Claim:
    ours = OrthogonalProjection(in_features, out_features)
    peer = orthogonal(nn.Linear(in_features, out_features, bias=False))
    our_ms, peer_ms = [], []
    for _ in range(ROUNDS):
        our_ms.append(_milliseconds(_stepper(ours, 0.0), OUR_STEPS))
        peer_ms.append(_milliseconds(_stepper(peer, 0.0), PEER_STEPS))
    return claim_of(
        f"a step's CPU time, torch's parametrisation by retraction, {in_features} to {out_features}",
        [theirs / own for theirs, own in zip(peer_ms, our_ms, strict=True)],
        at_least=5,
        detail=f"{min(peer_ms):.0f} ms against {min(our_ms):.1f} ms",
    )


def _drift() -> Claim:
    ours = OrthogonalProjection(384, 768)
    step = _stepper(ours, 0.0)
    for _ in range(OUR_STEPS):
        step()
    return claim_of(
        f"largest error of the Gram matrix after {OUR_STEPS} steps, 384 to 768, retraction",
        [_error(_weight(ours))],
        at_most=1e-5,
    )


def _collapse() -> Claim:
    peer = orthogonal(nn.Linear(384, 768, bias=False))
    step = _stepper(peer, DECAY)
    for _ in range(DECAYED_STEPS):
        step()
    return claim_of(
        f"the same after {DECAYED_STEPS} steps, torch's parametrisation under AdamW's weight decay of "
        f"{DECAY}",
        [_error(_weight(peer))],
        at_least=0.5,
        detail="1 is a weight whose columns have become zero",
    )


def _stepper(projection: nn.Module, weight_decay: float) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(projection.parameters(), lr=1e-3, weight_decay=weight_decay)
    out_features, in_features = _weight(projection).shape
    goal = nn.Linear(in_features, out_features)

    def step() -> None:
        values_BD = torch.randn(BATCH, in_features)
        optimiser.zero_grad()
        (projection(values_BD) - goal(values_BD).detach()).square().mean().backward()
        optimiser.step()
        retract_all(projection)

    return step


def _milliseconds(step: Callable[[], None], num_steps: int) -> float:
    step()
    started = time.process_time()
    for _ in range(num_steps):
        step()
    return 1000 * (time.process_time() - started) / num_steps


def _weight(projection: nn.Module) -> Tensor:
    weight = projection.weight
    assert isinstance(weight, Tensor)
    return weight


@torch.no_grad()
def _error(weight_PD: Tensor) -> float:
    small = weight_PD.T @ weight_PD if weight_PD.shape[0] >= weight_PD.shape[1] else weight_PD @ weight_PD.T
    return (small - torch.eye(len(small))).abs().max().item()
