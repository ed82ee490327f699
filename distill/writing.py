"""The discipline of generative tasks: a causal model, measured by the texts that it writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from distill.aligner import TSAligner, dims_of
from distill.answer_stream import AnswerStream, left_padded
from distill.classifying import Learners
from distill.config import RunConfig
from distill.export import PREDICTIONS_NAME
from distill.generation import Pen, commonest, export_texts, measured_texts
from distill.losses.divergence import check_divergence, parse_divergence
from distill.losses.writing import reconstructing_objective, reconstruction_loss, writing_objective
from distill.material import Material
from distill.order import EVALUATION_PASS
from distill.pretrained import load_tokenizer
from distill.respondent import Respondent, Rows, ids_of
from distill.schedules import ALIGNER, STUDENT
from distill.vocabulary import check_vocabulary, num_ids
from distill.weights import name_of_student
from distill.wording import wording_of
from distill.writer import Writer, load_writer, tokenizer_file
from schemas.example import Example
from schemas.manifest import CacheManifest
from schemas.tasks import TaskSpec
from schemas.tokenizer import tokenizer_digest


def pen_of(run: RunConfig, tokenizer: Any) -> Pen:
    """How a run's student writes."""
    assert run.max_new_tokens is not None, "resolve gives one to every generative task"
    return Pen(tokenizer=tokenizer, max_new_tokens=run.max_new_tokens)


def load(run: RunConfig, manifest: CacheManifest) -> tuple[Any, tuple[str, ...]]:
    """The plain student of a run; none of its modules is new.

    Raises:
        ConfigError: the cache holds draws, which the divergence or the temperature cannot be had from.
        MismatchError: the teacher's tokens are to be matched, and the student has others.
        StudentError: it cannot be loaded, or its head cannot be used.
    """
    if run.tokens is not None:
        divergence, drawn = parse_divergence(run.tokens.kd_divergence), manifest.request.codec == "sampled"
        check_divergence(divergence, run.tokens.kd_temperature, drawn=drawn)
    backbone = load_writer(run.student)
    if run.tokens is not None:
        num_rows = len(backbone.get_output_embeddings().weight)
        digest, num_tokens = (
            tokenizer_digest(tokenizer_file(run.student)),
            num_ids(load_tokenizer(run.student)),
        )
        check_vocabulary(manifest.teacher, name_of_student(run.student), digest, num_rows, num_tokens)
    return backbone, ()


def learners(run: RunConfig, task: TaskSpec, backbone: Any, width: int | None) -> Learners:
    """Module, objective and learning rate of each tower; the outputs are as wide as the representation.

    Args:
        run: its configuration.
        task: that texts are of.
        backbone: of the student.
        width: of the teacher's representation; None without one.
    """
    del task
    how, objective = run.distillation, writing_objective(run.distillation, run.tokens)
    if how is None:
        return {STUDENT: (Writer(backbone), objective, run.lr)}
    assert width is not None, "gather refuses a cache without representations"
    dims = dims_of(how, width, width)
    # The aligner is drawn first, and no head that nothing reads: as in classifying.py.
    aligner = TSAligner(dims, how.aligner, auxiliary=how.gamma > 0)
    student = Writer(backbone, dims, how.aligner, auxiliary=how.gamma > 0)
    return {
        ALIGNER: (aligner, reconstructing_objective(how), how.aligner_lr),
        STUDENT: (student, objective, run.lr),
    }


def measure_student(
    run: RunConfig, tokenizer: Any, stream: AnswerStream, student: nn.Module
) -> dict[str, float]:
    """Every metric of the student's texts."""
    assert isinstance(student, Writer)
    return measured_texts(stream, pen_of(run, tokenizer).write_all(student, stream))


def report(
    run: RunConfig,
    tokenizer: Any,
    material: Material,
    towers: dict[str, nn.Module],
    folder: Path,
) -> dict[str, dict[str, float]]:
    """Measure the student's texts and a guesser's, and how well the aligner says its input again."""
    stream, student = material.report, towers[STUDENT]
    assert isinstance(stream, AnswerStream)
    assert isinstance(student, Writer)
    texts = pen_of(run, tokenizer).write_all(student, stream)
    metrics = {"student": measured_texts(stream, texts)}
    if material.reports_aligner:
        metrics["aligner"] = {"reconstruction_error": _reconstruction_error(stream, towers[ALIGNER])}
    guess = commonest(material.train_labels.tolist())
    metrics["majority"] = measured_texts(stream, replace(texts, said=[guess] * len(texts.said)))
    if stream.takers.is_main:
        export_texts(folder / PREDICTIONS_NAME, stream, texts)
    return metrics


@torch.no_grad()
def _reconstruction_error(stream: AnswerStream, aligner: nn.Module) -> float:
    """Mean squared error of the output head, over all reported rows."""
    aligner.eval()
    total, rows = 0.0, 0
    for batch in stream.batches(0, EVALUATION_PASS):
        said_BR = aligner(batch.teacher_repr_BD).logits_BC
        total += reconstruction_loss(said_BR, batch.labels).item() * len(batch.rows_B)
        rows += len(batch.rows_B)
    everyone = stream.takers.gathered((total, rows))
    return sum(total for total, _ in everyone) / sum(rows for _, rows in everyone)


@torch.no_grad()
def respond(who: Respondent, rows: Rows, done: int) -> pa.Table:
    """What a student writes for rows of a file: asked as the cache's rows were.

    A prompt that is longer than --max-length is not cut: its row has no text, and says why.

    Args:
        who: answers.
        rows: with a column `prompt`, or the task's fields, which the cache's template puts into words.
        done: rows of the file before them.

    Raises:
        SourceError: a row lacks a column.
    """
    student, most = who.student, who.run.max_length
    assert isinstance(student, Writer)
    wording = wording_of(who.manifest, who.tokenizer)
    prompts = wording.prompts(who.tokenizer, _prompts(who, rows, done))
    asked = [place for place, ids in enumerate(prompts) if 0 < len(ids) <= most]
    texts: dict[int, str] = {}
    if asked:
        padded = left_padded([np.array(prompts[place]) for place in asked], who.tokenizer.pad_token_id)
        device = next(student.parameters()).device
        tokens = {name: torch.from_numpy(part).to(device) for name, part in padded.items()}
        texts = dict(zip(asked, pen_of(who.run, who.tokenizer).write(student, tokens)[0], strict=True))
    faults = [
        None if place in texts else f"the prompt has {len(ids)} tokens, --max-length is {most}"
        for place, ids in enumerate(prompts)
    ]
    said = [texts.get(place) for place in range(len(rows))]
    answers = [None if text is None else who.task.extract_answer(text) for text in said]
    return pa.table(
        {
            "example_id": ids_of(rows, done),
            "predicted": pa.array(said, pa.string()),
            "answer": pa.array(answers, pa.string()),
            "error": pa.array(faults, pa.string()),
        }
    )


def _prompts(who: Respondent, rows: Rows, done: int) -> list[str]:
    if all(isinstance(row.get("prompt"), str) for row in rows):
        return who.column(rows, "prompt", done)
    columns = {name: who.column(rows, name, done) for name in who.task.fields}
    template = who.manifest.request.parameters.get("template")
    fields = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if isinstance(template, str):
        return [template.format_map(one) for one in fields]
    examples = [Example(id="", task=who.task.name, split="test", fields=one) for one in fields]
    return [who.task.teacher_prompt(example) for example in examples]
