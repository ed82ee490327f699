"""What a run reads: rows to train on, to select by and to report on, each as a stream of batches.

Letters: R rows of a split.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from distill.answer_stream import AnswerStream
from distill.config import RunConfig
from distill.order import Kept, Order
from distill.processes import ALONE, Processes
from distill.protocol import PROTOCOLS, Division
from distill.representations import representations_of
from distill.shards import Stream
from distill.split import Split
from distill.tokens import tokenised
from schemas.cache import TeacherCache
from schemas.errors import CacheError
from schemas.tasks import TaskSpec

_EVALUATION_BATCH = 128
AnyStream = TypeVar("AnyStream", Stream, AnswerStream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The rows of a run.

    Attributes:
        train: to learn from.
        select: to choose the checkpoint by.
        report: that results are measured on.
        reports_aligner: the reported rows have representations, so the aligner can answer for them.
        notes: what a reader of the result must know.
    """

    train: Stream | AnswerStream
    select: Stream | AnswerStream
    report: Stream | AnswerStream
    reports_aligner: bool
    notes: tuple[str, ...]

    @property
    def train_labels(self) -> NDArray[np.generic]:
        """Of the rows to learn from."""
        return self.train.kept_labels

    @property
    def num_rows(self) -> dict[str, int]:
        """Rows of each use."""
        streams = {"train": self.train, "select": self.select, "report": self.report}
        return {name: stream.order.kept.total for name, stream in streams.items()}


@dataclass(frozen=True, slots=True)
class _Source:
    stream: Stream
    usable_R: NDArray[np.bool_]
    taught_R: NDArray[np.bool_]
    unlabelled: int


def gather(
    run: RunConfig,
    cache: TeacherCache,
    task: TaskSpec,
    tokenizer: Any,
    device: torch.device,
    *,
    workers: int = 0,
    processes: Processes = ALONE,
) -> Material:
    """Open both splits, tokenise them where that was not done before, and divide the rows by the protocol.

    Raises:
        CacheError: a split is missing, or has no row that can be used.
    """
    train = _source(Split(cache, "train", task), run, tokenizer, device)
    report = _source(Split(cache, "validation", task), run, tokenizer, device)
    usable_R = train.usable_R & train.taught_R if run.distillation else train.usable_R
    division = PROTOCOLS[run.protocol](train.stream.tokens.id_hashes, usable_R, run.seed, run.limit_train)
    if not division.train_R.any():
        raise CacheError(_nothing_left(run, cache, train))
    reported = replace(keep(report.stream, report.usable_R, _EVALUATION_BATCH), takers=processes)
    learnt, select = divided(train.stream, reported, division, run.batch_size, processes)
    return Material(
        train=replace(learnt, workers=workers),
        select=select,
        report=reported,
        reports_aligner=run.distillation is not None and bool(report.taught_R[report.usable_R].all()),
        notes=tuple(_notes(run, train, report)),
    )


def stream_of(split: Split, run: RunConfig, tokenizer: Any, device: torch.device) -> Stream:
    """The labelled rows of one split, to measure on.

    Raises:
        CacheError: no row has a label.
    """
    source = _source(split, run, tokenizer, device)
    return keep(source.stream, source.usable_R, _EVALUATION_BATCH)


def _source(split: Split, run: RunConfig, tokenizer: Any, device: torch.device) -> _Source:
    tokens = tokenised(split.cache, split.name, tokenizer, split.task.student_templates, run.max_length)
    labels, usable_R = split.labels()
    if not usable_R.any():
        raise CacheError(
            f"{split.cache.folder}: no row of the split {split.name!r} has a label of {split.task.name}; "
            "give another cache"
        )
    taught_R = split.taught()
    stream = Stream(
        split=split,
        tokens=tokens,
        labels=labels,
        order=Order(
            seed=run.seed,
            batch_size=run.batch_size,
            group_starts=split.group_starts,
            kept=Kept.of(usable_R, split.group_starts),
            lengths_R=tokens.lengths,
        ),
        pad_id=tokenizer.pad_token_id,
        max_length=run.max_length,
        device=device,
        representations=(
            representations_of(split, taught_R, run.distillation, run.seed) if run.distillation else None
        ),
    )
    return _Source(stream, usable_R, taught_R, int((~usable_R).sum()))


def keep(stream: AnyStream, rows_R: NDArray[np.bool_], batch_size: int) -> AnyStream:
    """The stream of some rows alone."""
    kept = Kept.of(rows_R, stream.order.group_starts)
    return replace(stream, order=replace(stream.order, kept=kept, batch_size=batch_size))


def divided(
    train: AnyStream, reported: AnyStream, division: Division, batch_size: int, processes: Processes
) -> tuple[AnyStream, AnyStream]:
    """The streams to learn from and to choose the checkpoint by, as the processes share them.

    Args:
        train: of the training split.
        reported: chooses where no rows are held out; its batches are as large as those that choose.
        division: of the training split's rows.
        batch_size: to learn from.
        processes: of the run.
    """
    learnt = replace(keep(train, division.train_R, batch_size), sharers=processes)
    if division.select_R is None:
        return learnt, reported
    return learnt, replace(keep(train, division.select_R, reported.order.batch_size), takers=processes)


def _nothing_left(run: RunConfig, cache: TeacherCache, train: _Source) -> str:
    labelled, taught = int(train.usable_R.sum()), int((train.usable_R & train.taught_R).sum())
    counted, advice = f"{len(train.usable_R)} training rows, {labelled} with a label", "give another cache"
    if run.distillation:
        counted += f", {taught} of those with a representation"
        advice += ", or try --method undistilled, which needs no representation"
    return f"{cache.folder}: {counted}; wanted at least 2; {advice}"


def _notes(run: RunConfig, train: _Source, report: _Source) -> Iterator[str]:
    for name, source in (("training", train), ("reported", report)):
        if cut := int((source.stream.tokens.cut & source.usable_R).sum()):
            yield f"{cut} {name} rows are longer than {run.max_length} tokens, their ends were cut off"
        if source.unlabelled:
            yield f"{source.unlabelled} {name} rows without a label were left out"
    untaught = int((train.usable_R & ~train.taught_R).sum())
    if run.distillation and untaught:
        yield f"{untaught} training rows without a representation were left out"
    if run.distillation and not report.taught_R[report.usable_R].all():
        yield "reported rows without a representation: the aligner was not measured"
