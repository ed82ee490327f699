"""What a student writes for the prompts of a stream: greedily, in batches, each to its own end.

Letters: R rows kept by the stream, B batch, T tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.answer_stream import AnswerStream
from distill.hardware import enough_memory
from distill.pretrained import ends_of
from distill.text_metrics import measure_texts
from distill.writer import Writer
from schemas.errors import StudentError
from schemas.files import whole_file


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts in the order of the split.

    Attributes:
        rows: of the split, int64, (R,).
        said: the text of each row.
        finished_R: whether it came to its own end before --max-new-tokens.
    """

    rows: NDArray[np.int64]
    said: list[str]
    finished_R: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """How texts are written.

    Attributes:
        tokenizer: of the student.
        max_new_tokens: of one text.
    """

    tokenizer: Any
    max_new_tokens: int

    def write(self, student: Writer, tokens: dict[str, Tensor]) -> tuple[list[str], list[bool]]:
        """Go on with prompts, left-padded, (B, T), the most probable token each time.

        How many are written at once is no option, so where memory does not do for a batch, it is halved.

        Returns:
            The texts, and which of them came to their own end.

        Raises:
            StudentError: memory does not do for one text.
        """
        num_rows, width = tokens["input_ids"].shape
        try:
            with enough_memory(num_rows, width + self.max_new_tokens, "writing"):
                return self._write(student, tokens)
        except StudentError:
            if num_rows == 1:
                raise
        # After the exception, whose frames hold what was allocated.
        middle = num_rows // 2
        halves = [
            self.write(student, {name: part[some] for name, part in tokens.items()})
            for some in (slice(middle), slice(middle, num_rows))
        ]
        return [one for texts, _ in halves for one in texts], [one for _, ended in halves for one in ended]

    @torch.no_grad()
    def _write(self, student: Writer, tokens: dict[str, Tensor]) -> tuple[list[str], list[bool]]:
        from transformers import GenerationConfig

        model = student.plain
        ends = ends_of(model, self.tokenizer)
        how = GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(ends) or None,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        # Weights are whole here, so no process waits for another's texts.
        written_BT = model.generate(**tokens, generation_config=how, synced_gpus=False)[
            :, tokens["input_ids"].shape[1] :
        ].tolist()
        texts = [self.tokenizer.decode(_until(ids, ends), skip_special_tokens=True) for ids in written_BT]
        return texts, [not ends.isdisjoint(ids) for ids in written_BT]

    def write_all(self, student: Writer, stream: AnswerStream) -> Texts:
        """Texts for every row of a stream, in evaluation mode and in the precision of the context.

        Where processes take its batches in turn, this is collective.
        """
        student.eval()
        rows: list[NDArray[np.int64]] = []
        said: list[str] = []
        finished: list[bool] = []
        for rows_B, tokens in stream.prompts():
            texts, ended = self.write(student, tokens)
            rows.append(rows_B)
            said += texts
            finished += ended
        # Where processes took batches in turn, each gets what all have.
        everyone = stream.takers.gathered((rows, said, finished))
        places = np.concatenate([one for rows, *_ in everyone for one in rows])
        texts = [one for _, said, _ in everyone for one in said]
        ended = [one for *_, finished in everyone for one in finished]
        order = np.argsort(places)
        return Texts(places[order], [texts[place] for place in order], np.array(ended)[order])


def _until(ids: Sequence[int], ends: Iterable[int]) -> list[int]:
    end = next((place for place, one in enumerate(ids) if one in ends), len(ids))
    return list(ids[:end])


def references_of(stream: AnswerStream, rows: NDArray[np.int64]) -> list[str]:
    """Right answers of some rows, which all have one."""
    return [stream.references[row] or "" for row in rows.tolist()]


def measured_texts(stream: AnswerStream, texts: Texts) -> dict[str, float]:
    """Every metric of texts; of each of the task's parts too, as `exact_answer/hellaswag`."""
    split, references = stream.split, references_of(stream, texts.rows)
    return measure_texts(split.task, texts.said, references, split.parts(texts.rows))


def commonest(answers: Sequence[str]) -> str:
    """The answer that stands most often; of equals the first by the alphabet."""
    values, counts = np.unique(np.array(answers, object).astype(str), return_counts=True)
    return str(values[counts.argmax()])


def export_texts(path: Path, stream: AnswerStream, texts: Texts) -> None:
    """Write what the student says for each row, in the order of the split."""
    task, references = stream.split.task, references_of(stream, texts.rows)
    right = [task.is_right(*pair) for pair in zip(texts.said, references, strict=True)]
    table = pa.table(
        {
            "example_id": stream.split.example_ids(texts.rows),
            "label": references,
            "predicted": texts.said,
            "right": right,
            "finished": texts.finished_R,
        }
    )
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)
