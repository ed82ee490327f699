"""What the teacher said of the tokens of its rows, on the way to the token losses: read by window, as stored.

Letters: B batch, N answer tokens of all rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from distill.sending import sent
from distill.split import Split
from distill.teacher_tokens import TeacherTokens, gather_tokens, unpack

_COLUMNS = ("topk_ids", "topk_logprobs", "tail_logprob")
Pick = Callable[[NDArray[np.int64]], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRows:
    """The teacher's entries of one split.

    Attributes:
        split: that they belong to.
        vocab_size: V of the teacher.
        device: that trains.
    """

    split: Split
    vocab_size: int
    device: torch.device

    def window(self, groups: Sequence[int]) -> Pick:
        """Read some row groups; what comes back picks rows of them, in the order asked for."""
        table = pa.concat_tables([self.split.read(group, _COLUMNS) for group in groups])
        sizes = [self.split.group_starts[group + 1] - self.split.group_starts[group] for group in groups]
        return partial(_picked, self.split, list(groups), np.cumsum([0, *sizes]), table)

    def ready(
        self, rows: pa.Table, num_answer_B: NDArray[np.int32], num_taught_B: NDArray[np.int32]
    ) -> TeacherTokens:
        """Unpacked on the device, with nothing said of tokens that the teacher did not score.

        Args:
            rows: picked, B of them.
            num_answer_B: tokens of each row's answer.
            num_taught_B: those of them, from the first, that the teacher scored.
        """
        tails = rows.column("tail_logprob")
        encoded = gather_tokens(
            rows.column("topk_ids").to_pylist(),
            rows.column("topk_logprobs").to_pylist(),
            None if tails.null_count else [tail.values.to_numpy() for tail in tails],
            self.vocab_size,
        )
        teacher = unpack(encoded, self.device)
        if (num_answer_B == num_taught_B).all():
            return teacher
        places_N = _places(num_answer_B, num_taught_B)
        return with_silence(teacher).at(sent(torch.from_numpy(places_N), self.device))


def _picked(
    split: Split, groups: list[int], starts: NDArray[np.int64], table: pa.Table, rows_B: NDArray[np.int64]
) -> pa.Table:
    groups_B, inside_B = split.places(rows_B)
    at = dict(zip(groups, starts.tolist(), strict=False))
    return table.take(
        pa.array([at[g] + i for g, i in zip(groups_B.tolist(), inside_B.tolist(), strict=True)])
    )


def _places(num_answer_B: NDArray[np.int32], num_taught_B: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where each answer token's entries are among the teacher's tokens, (N,); past the last: nowhere."""
    total = int(num_taught_B.sum())
    parts: list[NDArray[np.int64]] = []
    start = 0
    for answer, taught in zip(num_answer_B.tolist(), num_taught_B.tolist(), strict=True):
        parts.append(np.arange(start, start + taught))
        parts.append(np.full(answer - taught, total))
        start += taught
    return np.concatenate(parts).astype(np.int64)


def with_silence(teacher: TeacherTokens) -> TeacherTokens:
    """The same tokens and one more, of which the teacher says nothing.

    It has no entry, so all mass is outside: student and teacher agree there whatever the student says, and
    no divergence, nor its gradient, is other than zero.
    """
    ids_NK, logprobs_NK, tail_N = teacher.ids_NK, teacher.logprobs_NK, teacher.tail_N
    return TeacherTokens(
        torch.cat([ids_NK, ids_NK.new_zeros(1, ids_NK.shape[1])]),
        torch.cat([logprobs_NK, logprobs_NK.new_full((1, logprobs_NK.shape[1]), -torch.inf)]),
        torch.cat([teacher.counts_N, teacher.counts_N.new_zeros(1)]),
        None if tail_N is None else torch.cat([tail_N, tail_N.new_zeros(1)]),
        teacher.vocab_size,
    )
