"""Dropout that draws sixteen bits a value, for the CPU.

torch draws a double a value on one thread there: a sixth of MiniLM's whole training step in bfloat16.
"""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 15
_VALUES_A_DRAW = 4


class CheapDropout(nn.Dropout):
    """Dropout whose probability is rounded to 1/32768."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Dropout has
        """Zero a share p of the values, any shape, and scale the others by 1 / (1 - p)."""
        return drop(input, self.p) if self.training else input


def drop(values: Tensor, p: float) -> Tensor:
    """Zero a share of the values and scale the others by 1 / (1 - p).

    Args:
        values: any shape, on the CPU.
        p: the share, 0 to 1, rounded to 1/32768.
    """
    if p == 0:
        return values
    draws = torch.empty(-(-values.numel() // _VALUES_A_DRAW), dtype=torch.int64)
    # From the lowest int64 on: the default leaves the sign, a bit of every fourth value, at 0.
    bits = draws.random_(torch.iinfo(torch.int64).min, None).view(torch.int16)
    dropped = round(p * _LEVELS)
    # Halved, bits and threshold differ by less than an int16 holds; the sign, spread over all bits, is -1
    # where a value is dropped. A comparison gives bools, which torch turns into numbers one by one.
    below = (bits[: values.numel()].view(values.shape) >> 1).sub_(dropped - _LEVELS // 2) >> 15
    return values * below.add_(1).to(values.dtype).mul_(_LEVELS / max(1, _LEVELS - dropped))


def cheapen(module: nn.Module) -> None:
    """Replace every plain dropout inside a module, in place; weights and their names stay."""
    for parent in list(module.modules()):
        for name, part in parent.named_children():
            if type(part) is nn.Dropout:
                setattr(parent, name, CheapDropout(part.p))
