"""From the host to the device that trains."""

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host, on a device; the host waits for none of the work that the device still has.

    A CUDA device takes what lies in pinned memory when its turn comes; for a copy from any other memory the
    host may have to wait.

    Args:
        tensor: on the CPU; there it stays as it is, where that is the device.
        device: to compute on.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
