"""The student: a plain sequence classifier of transformers, with two more heads while it distils.

Letters: B batch, T tokens, D width of the student, C outputs, P manifold.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.aligner import head, initialise
from distill.orthogonal import OrthogonalProjection
from distill.readings import READINGS
from distill.view import View
from distill.weights import is_hub_name
from schemas.errors import StudentError
from schemas.tasks import LabelKind, TaskSpec

Pooler = Callable[[Any, dict[str, Tensor]], Tensor]

# How each model class pools, by its `model_type`; the classifier that it already has reads the result.
POOLERS: dict[str, Pooler] = {
    "bert": lambda model, tokens: model.bert(**tokens).pooler_output,
    "deberta-v2": lambda model, tokens: model.pooler(model.deberta(**tokens).last_hidden_state),
}
_PROBLEM_TYPES = {
    LabelKind.SINGLE: "single_label_classification",
    LabelKind.MULTI: "multi_label_classification",
    LabelKind.REGRESSION: "regression",
}


class Student(nn.Module):
    """A sequence classifier that answers with a View.

    Args:
        backbone: a plain `AutoModelForSequenceClassification`; all that is kept after training.
        manifold_dim: P; None gives a student without projection and auxiliary head.
        reading: row of READINGS, of the aligner beside it.
        auxiliary: with an auxiliary head on the projection, where the reading has one.
    """

    def __init__(
        self,
        backbone: Any,
        manifold_dim: int | None = None,
        reading: str = "reference",
        *,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooler = POOLERS[backbone.config.model_type]
        self.projection: nn.Module | None = None
        self.aux_head: nn.Sequential | None = None
        if manifold_dim is not None:
            row, width = READINGS[reading], backbone.config.hidden_size
            self.projection = _projection(width, manifold_dim, orthogonal=row.orthogonal_student)
            if auxiliary and row.projected != "nothing":
                self.aux_head = head(manifold_dim, backbone.config.num_labels, row.head_dropout)
                self.aux_head.apply(initialise)

    def forward(self, **tokens: Tensor) -> View:
        """Answer for a batch: `input_ids`, `attention_mask` and, for pairs, `token_type_ids`, each (B, T)."""
        pooled_BD = self.pooler(self.backbone, tokens)
        logits_BC = self.backbone.classifier(self.backbone.dropout(pooled_BD))
        if self.projection is None:
            return View(logits_BC)
        latent_BP = self.projection(pooled_BD)
        return View(logits_BC, None if self.aux_head is None else self.aux_head(latent_BP), latent_BP)


def _projection(width: int, manifold_dim: int, *, orthogonal: bool) -> nn.Module:
    if orthogonal:
        return OrthogonalProjection(width, manifold_dim)
    return nn.Linear(width, manifold_dim, bias=False).apply(initialise)


def load_backbone(student: str, task: TaskSpec) -> Any:
    """A plain sequence classifier in float32, its head new and fit for the task.

    Args:
        student: a folder, or a hub name.
        task: that names the outputs.

    Raises:
        StudentError: it cannot be loaded, or has no pooler that we know.
    """
    from transformers import AutoModelForSequenceClassification

    names = dict(enumerate(task.classes or ("value",)))
    with _plain_errors(student), quiet():
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
    if wrong := [key for key, *_ in report["mismatched_keys"] if not key.startswith("classifier.")]:
        raise StudentError(
            f"--student {student}: {wrong[0]} has not the size that config.json says; give a whole model"
        )
    if (kind := backbone.config.model_type) not in POOLERS:
        raise StudentError(f"--student {student}: model type {kind}, wanted one of {', '.join(POOLERS)}")
    return backbone


def load_tokenizer(student: str) -> Any:
    """The student's fast tokenizer.

    Raises:
        StudentError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    with _plain_errors(student), quiet():
        return AutoTokenizer.from_pretrained(student, local_files_only=not is_hub_name(student))


@contextmanager
def _plain_errors(student: str) -> Generator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StudentError(
            f"--student {student}: cannot be loaded ({reason}); give a folder with a whole model, "
            f"such as {Path('data/models/minilm')} (make data)"
        ) from None


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
