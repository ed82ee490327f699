"""The states of torch's generators: what dropout draws next."""

import torch
from torch import Tensor


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Of the CPU, and of the device where it has one of its own."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(device: torch.device, states: dict[str, Tensor]) -> None:
    """Go on drawing from these states."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
