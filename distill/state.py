"""A training as a snapshot, and back: nothing that a later step depends on is left out."""

from typing import Any

import torch
from torch import Tensor

from distill.checkpoint import Snapshot
from distill.random_state import random_states
from distill.sharding import is_finite as holds_numbers
from distill.sharding import joined_tensors, laid_out_as
from distill.tower import Tower, learnt
from distill.training import Best, Place, Training
from schemas.errors import ResultError


def capture(training: Training, facts: dict[str, Any]) -> Snapshot:
    """Take a snapshot; its tensors are the live ones, so write it before the next step.

    Collective: what lies in parts is made whole, on the main process, so that any number of processes goes on
    from it. The others get a snapshot without tensors.

    Args:
        training: between two optimiser steps.
        facts: more to remember.
    """
    drawn = training.processes.gathered(random_states(training.hardware.device))
    tensors: dict[str, Tensor] = {}
    for rank, states in enumerate(drawn):
        tensors |= _named(_random_name(rank), states)
    for name, tower in training.towers.items():
        tensors |= _named(f"weights.{name}", learnt(tower.module))
        for index, moments in tower.optimiser.state_dict()["state"].items():
            tensors |= _named(f"moments.{name}.{index}", moments)
    place, best, keep = training.place, training.best, training.processes.is_main
    best_weights = {
        f"{tower}.{name}": value for tower, weights in best.weights.items() for name, value in weights.items()
    }
    return Snapshot(
        step=place.total_steps,
        tensors=joined_tensors(tensors, keep=keep),
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
            "num_processes": training.processes.count,
        },
        best_epoch=best.epoch,
        best=joined_tensors(best_weights, keep=keep),
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
    # As many processes as before draw on; others begin anew where they are.
    if facts["num_processes"] == training.processes.count:
        training.random_states = _below(_random_name(training.processes.rank), snapshot.tensors)
    if snapshot.best_epoch:
        training.best = Best(
            snapshot.best_epoch,
            facts["best"]["value"],
            {name: _as_live(tower, _below(name, snapshot.best)) for name, tower in training.towers.items()},
        )
    training.clock.go_on(facts["seconds"])
    training.earlier_peaks = facts["peak_memory_bytes"]


def surroundings(training: Training) -> str:
    """What the bits of a result depend on beside the configuration."""
    return f"{training.hardware}, torch {torch.__version__}"


def is_finite(training: Training) -> bool:
    """Whether every weight is a number: a snapshot of others could only be stuck there; collective."""
    mine = all(
        holds_numbers(one)
        for tower in training.towers.values()
        for one in learnt(tower.module).values()
        if one.is_floating_point()
    )
    return training.processes.highest([int(not mine)]) == [0]


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
    tower.module.load_state_dict(_as_live(tower, weights), strict=False)
    parameters = [one for group in tower.optimiser.param_groups for one in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _below(f"moments.{name}", snapshot.tensors).items():
        index, _, what = key.partition(".")
        moments.setdefault(int(index), {})[what] = laid_out_as(parameters[int(index)], value)
    tower.optimiser.load_state_dict({**tower.optimiser.state_dict(), "state": moments})
    saved = snapshot.facts["towers"][name]
    for group, rate in zip(tower.optimiser.param_groups, saved["rates"], strict=True):
        group["lr"] = rate
    tower.scheduler.load_state_dict(saved["scheduler"])


def _as_live(tower: Tower, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights, whole, as the tower's own lie."""
    live = learnt(tower.module)
    return {name: laid_out_as(live[name], value) for name, value in weights.items()}


def _random_name(rank: int) -> str:
    """Where the states of a process's generators stand."""
    return f"random-{rank}"


def _named(prefix: str, tensors: dict[str, Any]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": torch.as_tensor(value) for name, value in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
