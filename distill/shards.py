"""The cache as batches: tokens and labels by row, representations a window of row groups at a time.

Rows of tokens and shards are joined by place: the token file's name is a digest of the manifest's digest,
which names every shard's bytes.

Letters: B batch, T tokens, D width of the representation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.ahead import Once, in_order
from distill.means import share_of
from distill.order import Order
from distill.processes import ALONE, Processes
from distill.representations import Pick, Representations
from distill.sending import sent
from distill.split import Split
from distill.tokens import Tokens
from distill.view import Batch

_PAD_TO = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Batches of a split, in the order that an Order gives. Its memory is one window.

    Attributes:
        split: whose rows are read.
        tokens: of the same split.
        labels: of the same split, by row.
        order: of the batches.
        pad_id: token that fills a short row.
        max_length: tokens that no row exceeds.
        device: that the batches go to.
        representations: None where no tower reads them.
        workers: threads that prepare batches ahead; 0 prepares each when it is asked for.
        sharers: processes of which each has a slice of every batch.
        takers: processes of which each has some of the batches, whole, in turn.
    """

    split: Split
    tokens: Tokens
    labels: NDArray[np.generic]
    order: Order
    pad_id: int
    max_length: int
    device: torch.device
    representations: Representations | None = None
    workers: int = 0
    sharers: Processes = ALONE
    takers: Processes = ALONE

    @property
    def kept_labels(self) -> NDArray[np.generic]:
        """Labels of the rows in use."""
        return self.labels[self.order.kept.mask()]

    def batches(self, epoch: int, passage: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one pass, from batch `start` on; the same for any number of workers."""
        return in_order(self._makers(epoch, passage, start), self.workers)

    def _makers(self, epoch: int, passage: int, start: int) -> Iterator[Callable[[], Batch]]:
        number = start
        for window, batches in self.order.batches(epoch, passage, start):
            # Read when its first batch is made, when the window before may already be forgotten.
            groups = sorted(window.groups)
            pick = Once(partial(self.representations.window, groups)) if self.representations else None
            for rows_B in batches:
                if self.takers.takes(number):
                    yield partial(self._batch, rows_B, pick, (epoch, passage, number))
                number += 1

    def _batch(
        self, rows_B: NDArray[np.int64], pick: Once[Pick] | None, place: tuple[int, int, int]
    ) -> Batch:
        some, means = share_of(self.sharers, len(rows_B))
        own_B, ready_BD = rows_B[some], None
        if self.representations is not None and pick is not None:
            values_BD = self.representations.ready(pick.get()(own_B), place, some, len(rows_B))
            ready_BD = self._to_device(values_BD)
        tokens = {name: self._to_device(part) for name, part in self._pad(own_B).items()}
        return Batch(rows_B, tokens, self._to_device(self.labels[own_B]), ready_BD, means=means)

    def _pad(self, rows_B: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        lengths_B = self.tokens.lengths[rows_B]
        width = min(-(-int(lengths_B.max()) // _PAD_TO) * _PAD_TO, self.max_length)
        filled_BT = np.arange(width) < lengths_B[:, None]
        padded = {"attention_mask": filled_BT.astype(np.int64)}
        for name in self.tokens.names:
            padded[name] = np.full(filled_BT.shape, self.pad_id if name == "input_ids" else 0, np.int64)
            padded[name][filled_BT] = np.concatenate(self.tokens.rows(name, rows_B))
        return padded

    def _to_device(self, array: NDArray[np.generic]) -> Tensor:
        return sent(torch.from_numpy(array), self.device)
