"""Texts that a student writes: the same however many at once, and what a want of memory says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.answer_material import gather_answers
from distill.answer_stream import AnswerStream
from distill.config import resolve
from distill.generation import Pen
from distill.pretrained import load_tokenizer
from distill.writer import Writer, load_writer
from schemas.cache import TeacherCache
from schemas.errors import StudentError
from schemas.tasks import find_task


@pytest.fixture(scope="module")
def asked(sums_cache: TeacherCache, writer_folder: Path) -> tuple[Pen, Writer, AnswerStream]:
    options = {"task": "chain-sum", "student": str(writer_folder), "method": "undistilled"}
    tokenizer, run = load_tokenizer(str(writer_folder)), resolve(options, "text")
    material = gather_answers(run, sums_cache, find_task("chain-sum"), tokenizer, torch.device("cpu"))
    assert isinstance(material.report, AnswerStream)
    return (
        Pen(tokenizer=tokenizer, max_new_tokens=6),
        Writer(load_writer(str(writer_folder))),
        material.report,
    )


def with_room_for(rows: int, student: Writer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the allocator refuse more rows than that at once; says how many were asked for each time."""
    generate: Callable[..., Any] = student.plain.generate
    asked: list[int] = []

    def generated(**given: Any) -> Any:
        asked.append(len(given["input_ids"]))
        if asked[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nand much more text")
        return generate(**given)

    monkeypatch.setattr(student.plain, "generate", generated)
    return asked


def test_where_memory_does_not_do_fewer_are_written_at_once(
    asked: tuple[Pen, Writer, AnswerStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    pen, student, stream = asked
    wanted = pen.write_all(student, stream)
    sizes = with_room_for(4, student, monkeypatch)
    found = pen.write_all(student, stream)
    assert found.said == wanted.said
    assert found.rows.tolist() == wanted.rows.tolist()
    assert found.finished_R.tolist() == wanted.finished_R.tolist()
    assert sizes == [12, 6, 3, 3, 6, 3, 3]


def test_where_memory_does_not_do_for_one_text_it_is_one_line(
    asked: tuple[Pen, Writer, AnswerStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    pen, student, stream = asked
    with_room_for(0, student, monkeypatch)
    with pytest.raises(
        StudentError,
        match=r"while writing, on a batch of 1 rows, 12 tokens wide; begin anew with a smaller --max-new-to",
    ) as caught:
        pen.write_all(student, stream)
    assert "\n" not in str(caught.value)
