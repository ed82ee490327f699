"""What a run of a generative task reads: rows to train on, to select by and to report on.

A row to train on is left out, and counted, where prompt and answer are more than --max-length: an answer that
was cut would teach to stop there. A row to report on is left out, and counted, where its prompt is.

Letters: S rows of a split, R rows of its sequences: more, where the teacher's texts are learnt and a row of
the split has several.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from distill.answer_stream import AnswerStream
from distill.config import RunConfig
from distill.material import Material, divided, keep
from distill.methods import METHODS, Answers
from distill.order import Kept, Order
from distill.processes import ALONE, Processes
from distill.protocol import PROTOCOLS, Division
from distill.representations import representations_of
from distill.sequences import sequences_of
from distill.signals import check_signals
from distill.split import Split
from distill.teacher_rows import TeacherRows
from distill.wording import Wording, wording_of
from schemas.cache import TeacherCache
from schemas.errors import CacheError
from schemas.tasks import TaskSpec

_GENERATION_BATCH = 32


@dataclass(frozen=True, slots=True)
class _Source:
    """A split, and which rows of it have what."""

    stream: AnswerStream
    labelled_R: NDArray[np.bool_]
    answered_R: NDArray[np.bool_]
    fits_R: NDArray[np.bool_]
    represented_R: NDArray[np.bool_]

    @property
    def usable_R(self) -> NDArray[np.bool_]:  # noqa: N802 - a shape suffix
        return self.labelled_R & self.answered_R & self.fits_R & self.represented_R

    @property
    def has_several(self) -> bool:
        """Whether a row of the split has several texts of the teacher."""
        sequences = self.stream.sequences
        return len(sequences.rows_R) > len(sequences.firsts_S)


def gather_answers(
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
        CacheError: a split is missing, has no row that can be used, or lacks what the method reads.
    """
    check_signals(run, cache.manifest, cache.folder)
    wording, answers = wording_of(cache.manifest, tokenizer), METHODS[run.method].answers
    own = partial(_source, run=run, tokenizer=tokenizer, wording=wording, device=device)
    train = own(Split(cache, "train", task), answers=answers)
    report = own(Split(cache, "validation", task), answers=Answers.REFERENCE)
    division = _divided(run, train)
    if not division.train_R.any():
        raise CacheError(_nothing_left(cache, train))
    reported = replace(prompts_of(report.stream, run), takers=processes)
    learnt, select = divided(train.stream, reported, division, run.batch_size, processes)
    return Material(
        train=replace(learnt, accumulate=run.accumulate, workers=workers),
        select=select,
        report=reported,
        reports_aligner=run.distillation is not None and bool(report.represented_R.all()),
        notes=tuple(_notes(run, train, report)),
    )


def _divided(run: RunConfig, train: _Source) -> Division:
    """Divide by the split's rows: all texts of a row are learnt, or it is held out once."""
    sequences, usable_R = train.stream.sequences, train.usable_R
    firsts_S = sequences.firsts_S
    usable_S = np.logical_or.reduceat(usable_R, firsts_S)
    division = PROTOCOLS[run.protocol](sequences.id_hashes[firsts_S], usable_S, run.seed, run.limit_train)
    select_R = None
    if division.select_R is not None:
        select_R = np.zeros(len(usable_R), bool)
        select_R[firsts_S[division.select_R]] = True
    return Division(division.train_R[sequences.rows_R] & usable_R, select_R)


def stream_of_prompts(split: Split, run: RunConfig, tokenizer: Any, device: torch.device) -> AnswerStream:
    """The rows of one split that have a reference answer, to measure on.

    Raises:
        CacheError: there is none, or every prompt is too long.
    """
    wording = wording_of(split.cache.manifest, tokenizer)
    source = _source(
        split, run=run, tokenizer=tokenizer, wording=wording, answers=Answers.REFERENCE, device=device
    )
    return prompts_of(source.stream, run)


def prompts_of(stream: AnswerStream, run: RunConfig) -> AnswerStream:
    """The rows with a reference answer whose prompt is not too long.

    Raises:
        CacheError: there is none.
    """
    lengths_R = stream.sequences.prompts.lengths
    rows_R = _labelled(stream) & (lengths_R > 0) & (lengths_R <= run.max_length)
    if not rows_R.any():
        raise CacheError(
            f"{stream.split.cache.folder}: no row of the split {stream.split.name!r} has a reference answer "
            f"and a prompt of at most {run.max_length} tokens, the longest has "
            f"{int(lengths_R.max(initial=0))}; raise --max-length, or give another cache"
        )
    return keep(stream, rows_R, _GENERATION_BATCH)


def _source(
    split: Split,
    *,
    run: RunConfig,
    tokenizer: Any,
    wording: Wording,
    answers: Answers,
    device: torch.device,
) -> _Source:
    sequences = sequences_of(split.cache, split.name, tokenizer, wording, answers)
    everything_R = np.ones(len(sequences.rows_R), bool)
    represented_R = split.taught() if run.distillation else everything_R
    vocab_size = split.cache.manifest.teacher.vocab_size
    matches = answers is Answers.TEACHER_TOKENS
    stream = AnswerStream(
        split=split,
        sequences=sequences,
        references=split.column("target_text").take(pa.array(sequences.rows_R)).to_pylist(),
        order=Order(
            seed=run.seed,
            batch_size=run.batch_size,
            group_starts=sequences.group_starts,
            kept=Kept.of(everything_R, sequences.group_starts),
            lengths_R=sequences.lengths,
        ),
        pad_id=tokenizer.pad_token_id,
        device=device,
        representations=(
            representations_of(split, represented_R, run.distillation, run.seed) if run.distillation else None
        ),
        teacher_rows=TeacherRows(split=split, vocab_size=vocab_size or 0, device=device) if matches else None,
    )
    answered_R = (sequences.answers.lengths > 0) & (sequences.prompts.lengths > 0)
    if matches:
        answered_R &= (sequences.num_taught_R > 0) & split.present("topk_ids")
    return _Source(stream, _labelled(stream), answered_R, sequences.lengths <= run.max_length, represented_R)


def _labelled(stream: AnswerStream) -> NDArray[np.bool_]:
    return np.array([one is not None for one in stream.references])


def _nothing_left(cache: TeacherCache, train: _Source) -> str:
    longest = int(train.stream.sequences.lengths.max(initial=0))
    counted = {
        "with a reference answer": train.labelled_R,
        "with an answer to learn": train.answered_R,
        "with what the aligner reads": train.represented_R,
        f"short enough (the longest has {longest} tokens)": train.fits_R,
    }
    counts = ", ".join(f"{int(rows_R.sum())} {what}" for what, rows_R in counted.items())
    return (
        f"{cache.folder}: {len(train.usable_R)} training rows, {counts}; wanted at least 2 with all; "
        "raise --max-length, or give another cache"
    )


def _notes(run: RunConfig, train: _Source, report: _Source) -> Iterator[str]:
    rest_R = train.labelled_R & train.answered_R
    if long := int((rest_R & ~train.fits_R).sum()):
        most = int(train.stream.sequences.lengths[rest_R].max())
        what = "texts on training rows" if train.has_several else "training rows"
        yield (
            f"{long} {what} of more than {run.max_length} tokens, prompt and answer, were left out, "
            f"none was cut; the longest has {most}"
        )
    lengths_R = report.stream.sequences.prompts.lengths
    if long := int((report.labelled_R & (lengths_R > run.max_length)).sum()):
        most = int(lengths_R.max())
        yield (
            f"{long} reported rows with a prompt of more than {run.max_length} tokens were left out; "
            f"the longest has {most}"
        )
    for name, source in (("training", train), ("reported", report)):
        if unlabelled := int((~source.labelled_R)[source.stream.sequences.firsts_S].sum()):
            yield f"{unlabelled} {name} rows without a reference answer were left out"
    yield from _notes_of_answers(train)
    if untaught := int((rest_R & train.fits_R & ~train.represented_R).sum()):
        yield f"{untaught} training rows without a representation were left out"


def _notes_of_answers(train: _Source) -> Iterator[str]:
    firsts_S, rows_R = train.stream.sequences.firsts_S, train.stream.sequences.rows_R
    answered_S = np.logical_or.reduceat(train.answered_R, firsts_S)
    if unanswered := int((train.labelled_R[firsts_S] & ~answered_S).sum()):
        yield f"{unanswered} training rows without an answer of the teacher that can be learnt were left out"
    if blank := int((train.labelled_R & ~train.answered_R & answered_S[rows_R]).sum()):
        yield f"{blank} empty texts beside others on their training rows were left out"
    if train.has_several:
        texts, rows = int(train.usable_R.sum()), len(np.unique(rows_R[train.usable_R]))
        yield f"each of {texts} texts of the teacher, on {rows} training rows, is an example"
