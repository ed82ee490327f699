"""A training as a snapshot, and back: nothing that a later step depends on is left out."""

import math
from typing import Any

import torch
from torch import Tensor

from distill.checkpoint import Snapshot
from distill.random_state import random_states
from distill.tower import Tower, learnt
from distill.training import Best, Place, Training
from schemas.errors import ResultError


def capture(training: Training, facts: dict[str, Any]) -> Snapshot:
    """Take a snapshot; its tensors are the live ones, so write it before the next step.

    Args:
        training: between two optimiser steps.
        facts: more to remember.
    """
    tensors = _named("random", random_states(training.hardware.device))
    for name, tower in training.towers.items():
        tensors |= _named(f"weights.{name}", learnt(tower.module))
        for index, moments in tower.optimiser.state_dict()["state"].items():
            tensors |= _named(f"moments.{name}.{index}", moments)
    place, best = training.place, training.best
    return Snapshot(
        step=place.total_steps,
        tensors=tensors,
        facts={
            **facts,
            "step": place.total_steps,
            "place": [place.passes, place.step, place.rows, place.total_steps],
            "num_epochs": training.num_epochs,
            "best": {"epoch": best.epoch, "value": best.value if best.epoch else None},
            "towers": {name: _rates(tower) for name, tower in training.towers.items()},
            "seconds": training.clock.total(),
            "peak_memory_bytes": training.peak_memory(),
            "ran_on": surroundings(training),
        },
        best_epoch=best.epoch,
        best={
            f"{tower}.{name}": value
            for tower, weights in best.weights.items()
            for name, value in weights.items()
        },
    )


def restore(training: Training, snapshot: Snapshot) -> None:
    """Bring a training that was just set up to where the snapshot was taken.

    Raises:
        ResultError: the snapshot holds other tensors than the towers have.
    """
    facts = snapshot.facts
    for name, tower in training.towers.items():
        _restore_tower(tower, name, snapshot)
    training.place = Place(*facts["place"])
    training.num_epochs = facts["num_epochs"]
    training.random_states = _below("random", snapshot.tensors)
    if snapshot.best_epoch:
        device = training.hardware.device
        training.best = Best(
            snapshot.best_epoch,
            facts["best"]["value"],
            {
                name: {key: value.to(device) for key, value in _below(name, snapshot.best).items()}
                for name in training.towers
            },
        )
    training.clock.go_on(facts["seconds"])
    training.earlier_peaks = facts["peak_memory_bytes"]


def surroundings(training: Training) -> str:
    """What the bits of a result depend on beside the configuration."""
    return f"{training.hardware}, torch {torch.__version__}"


def is_finite(training: Training) -> bool:
    """Whether every weight is a number: a snapshot of others could only be stuck at the same place."""
    return all(
        math.isfinite(one.detach().abs().max().item())
        for tower in training.towers.values()
        for one in learnt(tower.module).values()
        if one.is_floating_point()
    )


def _rates(tower: Tower) -> dict[str, Any]:
    return {
        "rates": [group["lr"] for group in tower.optimiser.param_groups],
        "scheduler": tower.scheduler.state_dict(),
    }


def _restore_tower(tower: Tower, name: str, snapshot: Snapshot) -> None:
    weights = _below(f"weights.{name}", snapshot.tensors)
    if {key: value.shape for key, value in weights.items()} != {
        key: value.shape for key, value in learnt(tower.module).items()
    }:
        raise ResultError(
            f"the checkpoint's {name} has other weights than this one; --resume never starts anew"
        )
    tower.module.load_state_dict(weights, strict=False)
    parameters = [one for group in tower.optimiser.param_groups for one in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _below(f"moments.{name}", snapshot.tensors).items():
        index, _, what = key.partition(".")
        moments.setdefault(int(index), {})[what] = _laid_out_as(parameters[int(index)], value)
    tower.optimiser.load_state_dict({**tower.optimiser.state_dict(), "state": moments})
    saved = snapshot.facts["towers"][name]
    for group, rate in zip(tower.optimiser.param_groups, saved["rates"], strict=True):
        group["lr"] = rate
    tower.scheduler.load_state_dict(saved["scheduler"])


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """The fused AdamW goes through memory, so moments must have their parameter's strides."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _named(prefix: str, tensors: dict[str, Any]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": torch.as_tensor(value) for name, value in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
