"""Prompts and answers as batches of a causal student: right-padded to learn from, left-padded to go on with.

Letters: B batch, T tokens, N answer tokens of all rows, D width of the representation.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.ahead import Once, in_order
from distill.means import share_of
from distill.order import EVALUATION_PASS, Order
from distill.processes import ALONE, Processes
from distill.representations import Pick, Representations
from distill.sending import sent
from distill.sequences import Sequences
from distill.split import Split
from distill.teacher_rows import Pick as PickTokens
from distill.teacher_rows import TeacherRows
from distill.view import IGNORED, Batch

_PAD_TO = 8

Place = tuple[int, int, int]


class Picks(NamedTuple):
    """What reads a window of row groups; None where a run does not read it."""

    representations: Once[Pick] | None
    tokens: Once[PickTokens] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStream:
    """Batches of a split, in the order that an Order gives. Its memory is one window.

    Attributes:
        split: whose rows are read.
        sequences: of the same split; its rows are the stream's.
        references: the right answers, by row; None where a row has none.
        order: of the batches.
        pad_id: token that fills a short row.
        device: that the batches go to.
        representations: None where no tower reads them.
        teacher_rows: what the teacher said of its tokens; None where no loss reads it.
        accumulate: batches an optimiser step, over whose tokens together the losses on tokens are means.
        workers: threads that prepare batches ahead; 0 prepares each when it is asked for.
        sharers: processes of which each has a slice of every batch.
        takers: processes of which each has some of the batches, whole, in turn.
    """

    split: Split
    sequences: Sequences
    references: Sequence[str | None]
    order: Order
    pad_id: int
    device: torch.device
    representations: Representations | None = None
    teacher_rows: TeacherRows | None = None
    accumulate: int = 1
    workers: int = 0
    sharers: Processes = ALONE
    takers: Processes = ALONE

    @property
    def kept_labels(self) -> NDArray[np.generic]:
        """Right answers of the rows in use."""
        return np.array(self.references, object)[self.order.kept.mask()]

    def batches(self, epoch: int, passage: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one pass, from batch `start` on; the same for any number of workers."""
        return in_order(self._makers(epoch, passage, start), self.workers)

    def prompts(self) -> Iterator[tuple[NDArray[np.int64], dict[str, Tensor]]]:
        """Rows and their prompts, each once, to go on with."""
        batches = chain.from_iterable(batches for _, batches in self.order.batches(0, EVALUATION_PASS))
        for number, rows_B in enumerate(batches):
            if self.takers.takes(number):
                tokens = left_padded(self.sequences.prompts.rows(rows_B), self.pad_id)
                yield rows_B, {name: self._to_device(part) for name, part in tokens.items()}

    def _makers(self, epoch: int, passage: int, start: int) -> Iterator[Callable[[], Batch]]:
        placed, number = self._placed(epoch, passage, start), start
        lengths_R = self.sequences.answers.lengths
        while step := list(islice(placed, self.accumulate)):
            # A mean of the batches' means would weigh a token by how few others its batch has.
            num_tokens = sum(int(lengths_R[rows_B].sum()) for rows_B, _ in step) / len(step)
            for rows_B, picks in step:
                if self.takers.takes(number):
                    yield partial(self._batch, rows_B, num_tokens, picks, (epoch, passage, number))
                number += 1

    def _placed(self, epoch: int, passage: int, start: int) -> Iterator[tuple[NDArray[np.int64], Picks]]:
        """The rows of each batch, and what reads their window."""
        for window, batches in self.order.batches(epoch, passage, start):
            groups = sorted(window.groups)
            picks = Picks(
                Once(partial(self.representations.window, groups)) if self.representations else None,
                Once(partial(self.teacher_rows.window, groups)) if self.teacher_rows else None,
            )
            yield from ((rows_B, picks) for rows_B in batches)

    def _batch(self, rows_B: NDArray[np.int64], num_tokens: float, picks: Picks, place: Place) -> Batch:
        some, means = share_of(self.sharers, len(rows_B), num_tokens)
        own_B = rows_B[some]
        prompts, answers = (part.rows(own_B) for part in (self.sequences.prompts, self.sequences.answers))
        tokens = {
            name: self._to_device(part) for name, part in right_padded(prompts, answers, self.pad_id).items()
        }
        if not means.num_own:
            tokens["targets_N"].fill_(IGNORED)
        ready_BD = teacher = None
        if self.representations is not None and picks.representations is not None:
            values_BD = picks.representations.get()(own_B)
            ready_BD = self._to_device(self.representations.ready(values_BD, place, some, len(rows_B)))
        if self.teacher_rows is not None and picks.tokens is not None:
            teacher = self.teacher_rows.ready(
                picks.tokens.get()(own_B),
                self.sequences.answers.lengths[own_B],
                self.sequences.num_taught_R[own_B],
            )
        # What an aligner learns here is to say the representation again.
        labels = tokens["targets_N"] if ready_BD is None else ready_BD
        return Batch(self.sequences.rows_R[rows_B], tokens, labels, ready_BD, teacher, means)

    def _to_device(self, array: NDArray[np.generic]) -> Tensor:
        return sent(torch.from_numpy(array), self.device)


Rows = Sequence[NDArray[np.int32]]


def right_padded(prompts: Rows, answers: Rows, pad_id: int) -> dict[str, NDArray[np.int64]]:
    """Prompt and answer of each row, and where in the flattened batch what is predicted from what.

    Args:
        prompts: of B rows, none empty.
        answers: of the same rows, none empty.
        pad_id: token that fills a short row.

    Returns:
        `input_ids` and `attention_mask`, (B, T); `before_N`, the places, of B x T, of the token before each
        answer token, and `targets_N`, the answer tokens, row after row; `prompt_ends_B`, the places of each
        prompt's last token.
    """
    num_prompt_B = np.array([len(ids) for ids in prompts])
    num_answer_B = np.array([len(ids) for ids in answers])
    lengths_B = num_prompt_B + num_answer_B
    # A position beyond the last target is nowhere read, so the width may be any that all rows fit in.
    width = -(-int(lengths_B.max()) // _PAD_TO) * _PAD_TO
    filled_BT = np.arange(width) < lengths_B[:, None]
    ids_BT = np.full(filled_BT.shape, pad_id, np.int64)
    ids_BT[filled_BT] = np.concatenate([part for pair in zip(prompts, answers, strict=True) for part in pair])
    answered_BT = filled_BT & (np.arange(width) >= num_prompt_B[:, None])
    places_N = np.flatnonzero(answered_BT)
    return {
        "input_ids": ids_BT,
        "attention_mask": filled_BT.astype(np.int64),
        "before_N": places_N - 1,
        "targets_N": ids_BT.reshape(-1)[places_N],
        "prompt_ends_B": np.arange(len(lengths_B)) * width + num_prompt_B - 1,
    }


def left_padded(prompts: Rows, pad_id: int) -> dict[str, NDArray[np.int64]]:
    """Prompts that all end at the last place: `input_ids` and `attention_mask`, (B, T)."""
    num_B = np.array([len(ids) for ids in prompts])
    width = int(num_B.max())
    filled_BT = np.arange(width) >= width - num_B[:, None]
    ids_BT = np.full(filled_BT.shape, pad_id, np.int64)
    ids_BT[filled_BT] = np.concatenate(prompts)
    return {"input_ids": ids_BT, "attention_mask": filled_BT.astype(np.int64)}
