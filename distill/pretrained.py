"""A student as it comes: its weights with a head that is fit for the task, and its tokenizer."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from distill.pooling import ENCODERS, pooling_of
from distill.weights import is_hub_name
from schemas.errors import StudentError
from schemas.tasks import LabelKind, TaskSpec

_PROBLEM_TYPES = {
    LabelKind.SINGLE: "single_label_classification",
    LabelKind.MULTI: "multi_label_classification",
    LabelKind.REGRESSION: "regression",
}


def load_backbone(student: str, task: TaskSpec) -> Any:
    """A plain sequence classifier in float32, its head new and fit for the task.

    Args:
        student: a folder, or a hub name.
        task: that names the outputs.

    Raises:
        StudentError: it cannot be loaded, or pools in no way that we know.
    """
    return load_with_fresh(student, task)[0]


def load_with_fresh(student: str, task: TaskSpec) -> tuple[Any, tuple[str, ...]]:
    """The same, and the names of its modules whose weights the folder does not have and were drawn.

    Raises:
        StudentError: it cannot be loaded, or pools in no way that we know.
    """
    from transformers import AutoModelForSequenceClassification

    names = dict(enumerate(task.classes or ("value",)))
    with plain_errors(student), quiet():
        backbone, report = AutoModelForSequenceClassification.from_pretrained(
            student,
            local_files_only=not is_hub_name(student),
            use_safetensors=True,
            dtype=torch.float32,
            id2label=names,
            label2id={name: index for index, name in names.items()},
            problem_type=_PROBLEM_TYPES[task.label_kind],
            # A head that was fit for another task is drawn anew; nothing else may be.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    if (row := pooling_of(backbone)) is None:
        kind = backbone.config.model_type
        wanted = f"one of {', '.join(ENCODERS)}, or a causal model such as llama, opt, qwen2"
        raise StudentError(f"--student {student}: model type {kind} pools in no way known, wanted {wanted}")
    # A set in transformers: unsorted, the weight that is named would differ from call to call.
    mismatched = sorted(key for key, *_ in report["mismatched_keys"])
    if wrong := [key for key in mismatched if not key.startswith(f"{row.head}.")]:
        raise StudentError(
            f"--student {student}: {wrong[0]} has not the size that config.json says; give a whole model"
        )
    drawn = {key.rpartition(".")[0] for key in (*mismatched, *report["missing_keys"])}
    return backbone, tuple(sorted(drawn))


def load_tokenizer(student: str) -> Any:
    """The student's fast tokenizer; it pads on the right, with its end-of-text token where it has no other.

    Raises:
        StudentError: it cannot be loaded, or has neither of the two tokens.
    """
    from transformers import AutoTokenizer

    with plain_errors(student), quiet():
        tokenizer = AutoTokenizer.from_pretrained(student, local_files_only=not is_hub_name(student))
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise StudentError(
            f"--student {student}: its tokenizer has neither a padding token nor an end-of-text token; "
            "set pad_token in tokenizer_config.json to one that no text has"
        )
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def padding_note(tokenizer: Any) -> str | None:
    """One sentence where a tokenizer has no padding token of its own, for a result."""
    if tokenizer.pad_token_id != tokenizer.eos_token_id:
        return None
    return f"the student pads with its end-of-text token {tokenizer.eos_token}, and config.json says so"


def pad_alike(backbone: Any, tokenizer: Any) -> None:
    """Have a model skip what its tokenizer pads with, and end a text where its tokenizer does.

    Its saved config.json and generation_config.json say so to plain transformers.

    Raises:
        StudentError: the model has no such token, as where one was added to the tokenizer alone.
    """
    pad, rows = tokenizer.pad_token_id, backbone.get_input_embeddings().num_embeddings
    if pad >= rows:
        raise StudentError(
            f"--student {tokenizer.name_or_path}: pads with {tokenizer.pad_token} of id {pad}, the model has "
            f"the ids below {rows}; set pad_token in tokenizer_config.json to one of those"
        )
    backbone.config.pad_token_id = pad
    writing = getattr(backbone, "generation_config", None)
    if writing is not None:
        ends = sorted(ends_of(backbone, tokenizer))
        writing.pad_token_id, writing.eos_token_id = pad, ends[0] if len(ends) == 1 else ends or None


def ends_of(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end a text: those that the model's generation config names, and the tokenizer's."""
    named = model.generation_config.eos_token_id
    ends = set(named) if isinstance(named, list) else {named}
    return {end for end in (*ends, tokenizer.eos_token_id) if end is not None}


@contextmanager
def plain_errors(student: str) -> Generator[None]:
    """Make one line of what cannot be loaded."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise StudentError(
            f"--student {student}: cannot be loaded ({reason_of(error)}); give a folder with a whole model, "
            f"such as {Path('data/models/minilm')} (make data)"
        ) from error


def reason_of(error: BaseException) -> str:
    """The first line of what an error says, or its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def quiet() -> Generator[None]:
    """Keep back the report that the head is new: here it always is."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
