"""Dropout that draws sixteen bits a value, for the CPU.

torch draws a double a value on one thread there: a sixth of MiniLM's whole training step in bfloat16.
"""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16
_VALUES_A_DRAW = 4


class CheapDropout(nn.Dropout):
    """Dropout whose probability is rounded to 1/65536."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Dropout has
        """Zero a share p of the values, any shape, and scale the others by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return input
        draws = torch.empty(-(-input.numel() // _VALUES_A_DRAW), dtype=torch.int64)
        # From the lowest int64 on: the default leaves the sign, a bit of every fourth value, at 0.
        bits = draws.random_(torch.iinfo(torch.int64).min, None).view(torch.int16)
        dropped = round(self.p * _LEVELS)
        kept = bits[: input.numel()].view(input.shape) >= dropped - _LEVELS // 2
        return input * kept.to(input.dtype).mul_(_LEVELS / max(1, _LEVELS - dropped))


def cheapen(module: nn.Module) -> None:
    """Replace every plain dropout inside a module, in place; weights and their names stay."""
    for parent in list(module.modules()):
        for name, part in parent.named_children():
            if type(part) is nn.Dropout:
                setattr(parent, name, CheapDropout(part.p))
