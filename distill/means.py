"""Means over a batch of which each process may hold a part.

Every process computes a loss such that the mean over processes is the loss of the whole batch, since that is
what DDP and FSDP make of gradients. What is a mean over rows needs no exchange: a process counts its rows by
the number of processes. What is made of a mean, as the centroid losses are, is made of the whole batch's mean
on every process.

Letters: B rows at hand, P any width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from distill.processes import ALONE, Processes


class _SumOfAll(torch.autograd.Function):
    """The sum over processes, of which each then computes the same."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, count: int) -> Tensor:
        ctx.count = count
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - as torch's own functions have it
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor, None]:
        # The loss of every process goes through this part of the sum, and all have the same gradient.
        return gradient * ctx.count, None


@dataclass(frozen=True, slots=True)
class Means:
    """How means over a batch are taken.

    Attributes:
        num_rows: of the whole batch.
        num_own: rows at hand that are this process's; the others stand in where it has none, and count for
            nothing.
        num_tokens: by how many tokens a sum over this process's tokens is divided; None is by those it has.
        processes: that share the batch.
    """

    num_rows: int = 0
    num_own: int = 0
    num_tokens: float | None = None
    processes: Processes = ALONE

    def of_rows(self, values_B: Tensor) -> Tensor:
        """A process's share of the mean over all rows: the mean over processes is that mean.

        Args:
            values_B: a value of each row, float, (B,).
        """
        if self.processes.count == 1:
            return values_B.mean(dim=0)
        return values_B[: self.num_own].sum(dim=0) * (self.processes.count / self.num_rows)

    def centroid(self, values_BP: Tensor) -> Tensor:
        """The mean over all rows, the same on every process; collective.

        Args:
            values_BP: float, (B, P).

        Returns:
            (P,). Its gradient is right once gradients are averaged over processes.
        """
        if self.processes.count == 1:
            return values_BP.mean(dim=0)
        own_P = values_BP[: self.num_own].sum(dim=0)
        return _SumOfAll.apply(own_P, self.processes.count) / self.num_rows  # pyright: ignore[reportOperatorIssue] - apply has no type


def share_of(processes: Processes, num_rows: int, num_tokens: float | None = None) -> tuple[slice, Means]:
    """Which rows of a batch a process has, and how it takes means.

    A process without a row takes the first one, which counts for nothing: it must go through its model as the
    others do, since they wait for each other there.

    Args:
        processes: that share the batch.
        num_rows: of the batch.
        num_tokens: by how many answer tokens the sum over the batch's is divided, where the task is
            generative: those of the batch, or of the mean batch of an optimiser step.
    """
    own = processes.slice_of(num_rows)
    shared = None if num_tokens is None else num_tokens / processes.count
    means = Means(num_rows, own.stop - own.start, shared, processes)
    return own if means.num_own else slice(0, 1), means


# All rows of the batch are at hand.
WHOLE = Means()
