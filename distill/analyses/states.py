"""What the towers of a finished run make of the rows that it reported: the states that their heads read.

Letters: R rows, B batch, T tokens, D width of the student or of the aligner.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from distill.again import load_student
from distill.analyses.finished import Finished, load_aligner
from distill.answer_stream import AnswerStream
from distill.config import RunConfig
from distill.disciplines import DISCIPLINES
from distill.export import STUDENT_FOLDER
from distill.hardware import find_hardware
from distill.order import EVALUATION_PASS
from distill.pretrained import load_tokenizer
from distill.shards import Stream
from distill.split import Split
from schemas.cache import TeacherCache
from schemas.errors import AnalysisError

Floats = NDArray[np.float32]
Part = tuple[NDArray[np.int64], Tensor]
REPORTED = "validation"


@dataclass(frozen=True, slots=True)
class States:
    """States of some rows.

    Attributes:
        ids: of the rows, in the order of the split.
        values_RD: float32, (R, D).
    """

    ids: tuple[str, ...]
    values_RD: Floats

    def of(self, ids: Sequence[str]) -> Floats:
        """The states of some of the rows, (R, D), in the order of their ids.

        Raises:
            AnalysisError: there is no such row.
        """
        places = {name: place for place, name in enumerate(self.ids)}
        if unknown := [name for name in ids if name not in places]:
            raise AnalysisError(
                f"row {unknown[0]!r} is not among the {len(self.ids)} that were read; give the cache and the "
                "split that the run reported"
            )
        return self.values_RD[[places[name] for name in ids]]


@torch.no_grad()
def student_states(finished: Finished, cache: TeacherCache, split: str = REPORTED) -> States:
    """The pooled state of each row, which the student's output head reads.

    Of an encoder the pooler's output, of a causal classifier the state at the last token, of a student that
    writes the state at the last token of the prompt; in full precision and without dropout.

    Args:
        finished: whose exported student is asked.
        cache: that it was made from.
        split: of the cache.

    Raises:
        AnalysisError: the cache is another.
        ArmadaError: the student or the split cannot be read.

    Source: arXiv 2603.10877, Figure 7, Table 14 and Table 15: F_s pooled.
    """
    finished.fits(cache)
    student, tokenizer, _, device = load_student(finished.run, finished.folder)
    alone = replace(finished.run, method="undistilled", distillation=None, tokens=None)
    stream = _stream(alone, Split(cache, split, finished.task), tokenizer, device)
    pooled = (
        _pooled_prompts(stream, student)
        if isinstance(stream, AnswerStream)
        else _pooled_texts(stream, student)
    )
    return _gathered(stream, pooled)


@torch.no_grad()
def aligner_states(finished: Finished, cache: TeacherCache, split: str = REPORTED) -> States:
    """The aligner's hidden state of each row, which its output head reads, without dropout.

    Args:
        finished: whose aligner is asked.
        cache: that it was made from.
        split: of the cache.

    Raises:
        AnalysisError: the run has no aligner, the cache is another, or a row has no representation.

    Source: arXiv 2603.10877, Figure 7: h'_ts.
    """
    finished.fits(cache)
    device = find_hardware(finished.run.device, "fp32").device
    aligner = load_aligner(finished, device)
    tokenizer = load_tokenizer(str(finished.folder / STUDENT_FOLDER))
    stream = _stream(finished.run, Split(cache, split, finished.task), tokenizer, device)
    untaught = int((stream.order.kept.mask() & ~stream.split.taught()).sum())
    if untaught:
        raise AnalysisError(
            f"{cache.folder}: {untaught} rows of {split} have no representation, so the aligner has no state "
            "of them; make the cache with --teach all"
        )
    return _gathered(stream, _aligned(stream, aligner.encoder))


def _stream(run: RunConfig, split: Split, tokenizer: Any, device: torch.device) -> Stream | AnswerStream:
    return DISCIPLINES[split.task.label_kind].stream(split, run, tokenizer, device)


def _gathered(stream: Stream | AnswerStream, parts: Iterator[Part]) -> States:
    rows, values = zip(*((rows_B, part.float().cpu().numpy()) for rows_B, part in parts), strict=True)
    places = np.concatenate(rows)
    order = np.argsort(places)
    return States(tuple(stream.split.example_ids(places[order])), np.concatenate(values)[order])


def _pooled_texts(stream: Stream, student: Any) -> Iterator[Part]:
    for batch in stream.batches(0, EVALUATION_PASS):
        yield batch.rows_B, student.pooling.pooled(student.plain, batch.tokens)


def _pooled_prompts(stream: AnswerStream, student: Any) -> Iterator[Part]:
    for _, batches in stream.order.batches(0, EVALUATION_PASS):
        for rows_B in batches:
            prompts = [
                torch.from_numpy(ids.astype(np.int64)) for ids in stream.sequences.prompts.rows(rows_B)
            ]
            ends_B = torch.tensor([len(ids) - 1 for ids in prompts], device=stream.device)
            # On the right, so that positions count from 0 whatever the model makes of its mask.
            ids_BT = pad_sequence(prompts, batch_first=True, padding_value=stream.pad_id).to(stream.device)
            mask_BT = (torch.arange(ids_BT.shape[1], device=stream.device) <= ends_B[:, None]).long()
            states_BTD = student.plain.base_model(
                input_ids=ids_BT, attention_mask=mask_BT, use_cache=False
            ).last_hidden_state
            yield rows_B, states_BTD[torch.arange(len(ends_B), device=stream.device), ends_B]


def _aligned(stream: Stream | AnswerStream, encoder: Callable[[Tensor], Tensor]) -> Iterator[Part]:
    representations, number = stream.representations, 0
    assert representations is not None, "load_aligner refuses a run without"
    for window, batches in stream.order.batches(0, EVALUATION_PASS):
        pick = representations.window(sorted(window.groups))
        for rows_B in batches:
            ready_BD = representations.ready(pick(rows_B), (0, EVALUATION_PASS, number))
            yield rows_B, encoder(torch.from_numpy(ready_BD).to(stream.device))
            number += 1
