"""A tower's objective: named terms, each with its weight.

Letters: B batch, C outputs, P manifold.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from distill.config import DistillationConfig
from distill.losses.manifold import MANIFOLD_LOSSES, centroid_norm
from distill.losses.matching import MATCHING_LOSSES, PHIS
from distill.losses.task import TASK_LOSSES
from distill.means import WHOLE, Means
from distill.rules import Formulation
from distill.teacher_tokens import TeacherTokens
from distill.view import TokenView, View
from schemas.errors import ConfigError
from schemas.tasks import LabelKind, TaskSpec

Part = TypeVar("Part")


class TermValue(Protocol):
    """From (this tower's view, the aligner's view or None, labels) to a scalar."""

    def __call__(self, view: View, aligner: View | None, labels: Tensor, means: Means = WHOLE, /) -> Tensor:
        """The term of a batch."""
        ...


@dataclass(frozen=True, slots=True)
class Term:
    """One summand.

    Attributes:
        name: as in `metrics.jsonl`.
        weight: its factor in the total.
        value: of a batch.
    """

    name: str
    weight: float
    value: TermValue


@dataclass(frozen=True, slots=True)
class Losses:
    """What an objective came to on one batch.

    Attributes:
        total: weighted sum, the scalar to differentiate.
        parts: each term before its weight, detached.
    """

    total: Tensor
    parts: dict[str, Tensor]


class OnTokens(Protocol):
    """From the tokens of a batch to losses."""

    def __call__(self, view: TokenView, teacher: TeacherTokens | None, *, num_tokens: float | None) -> Losses:
        """The losses, their sums divided by `num_tokens`, or by the tokens of the view."""
        ...


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum of named terms. A term of weight 0 is not in it, so it costs and changes nothing.

    Attributes:
        terms: that are summed.
        on_tokens: losses on tokens, already weighted, added to the sum; None where there are none. They are
            one value with several parts, since one pass of the head makes them all.
        watched: reported beside them and in no sum; their weight is 0.
        rectifies: outputs of both towers go through ReLU before any term reads them.
    """

    terms: tuple[Term, ...]
    watched: tuple[Term, ...] = ()
    rectifies: bool = False
    on_tokens: OnTokens | None = None

    def __call__(
        self,
        view: View,
        aligner: View | None,
        labels: Tensor,
        teacher: TeacherTokens | None = None,
        means: Means = WHOLE,
    ) -> Losses:
        """Value of every term and of their weighted sum.

        Args:
            view: of the tower that learns.
            aligner: of the aligner, treated as constant; None where no term reads it.
            labels: as in `Batch`.
            teacher: of the answer's tokens; None where no loss reads them.
            means: how means over the batch are taken; where several processes share it, the mean of their
                totals, and of each part, is the whole batch's.

        Returns:
            The total, and each part by name.

        Raises:
            ShapeError: the towers' tensors, or the labels, do not fit.
        """
        if self.rectifies:
            view, aligner = rectified(view), None if aligner is None else rectified(aligner)
        values = {
            term.name: term.value(view, aligner, labels, means) for term in (*self.terms, *self.watched)
        }
        summands = [term.weight * values[term.name] for term in self.terms]
        parts = {name: value.detach() for name, value in values.items()}
        if self.on_tokens is not None:
            on_tokens = self.on_tokens(there(view.tokens), teacher, num_tokens=means.num_tokens)
            summands, parts = [on_tokens.total, *summands], {**on_tokens.parts, **parts}
        first, *others = summands
        return Losses(sum(others, first), parts)

    @property
    def reads_aligner(self) -> bool:
        """Whether any term compares with the aligner."""
        return any(term.name not in ("task", "task_aux") for term in self.terms)


def weighted(
    *terms: Term,
    watched: tuple[Term, ...] = (),
    rectifies: bool = False,
    on_tokens: OnTokens | None = None,
) -> Objective:
    """The objective of these terms, those of weight 0 left out."""
    return Objective(tuple(term for term in terms if term.weight != 0), watched, rectifies, on_tokens)


def rectified(view: View) -> View:
    """A view whose outputs are no less than 0.

    Args:
        view: of either tower.

    Returns:
        The same, both heads through ReLU.

    Source: the authors' code, regression; docs/paper-map.md.
    """
    return View(
        None if view.logits_BC is None else view.logits_BC.relu(),
        None if view.aux_logits_BC is None else view.aux_logits_BC.relu(),
        view.latent_BP,
    )


def must_rectify(task: TaskSpec, formulation: Formulation) -> bool:
    """Whether outputs go through ReLU: for a regression whose range starts at 0, in the authors' reading.

    Args:
        task: with its range.
        formulation: of the losses.

    Returns:
        True for the reference formulation of such a task only: elsewhere ReLU would cut off right answers.

    Source: the authors' code, which has it for STS-B, 0 to 5; docs/paper-map.md.
    """
    starts_at_zero = task.value_range is not None and task.value_range[0] == 0
    return task.label_kind is LabelKind.REGRESSION and starts_at_zero and formulation is Formulation.REFERENCE


def undistilled_objective(task: TaskSpec) -> Objective:
    """Learn the task alone: L_T(labels, logits).

    Args:
        task: that labels and outputs are of.

    Returns:
        One term, `task`.

    Source: arXiv 2603.10877, section 4, the undistilled baseline.
    """
    return weighted(_task(task, 1.0))


def aligner_objective(task: TaskSpec, distillation: DistillationConfig) -> Objective:
    """Learn the task from the teacher's representation.

    L_T(labels, logits) plus gamma times L_T(labels, auxiliary logits).

    Args:
        task: that labels and outputs are of.
        distillation: gamma, formulation.

    Returns:
        Terms `task` and `task_aux`.

    Source: arXiv 2603.10877, eq. 1 and section 3.3 (no beta in the aligner's loss).
    """
    return weighted(
        _task(task, 1.0),
        _task_aux(task, distillation.gamma),
        rectifies=must_rectify(task, distillation.formulation),
    )


def student_objective(task: TaskSpec, distillation: DistillationConfig) -> Objective:
    """Learn the task from labels, from the aligner's outputs, and by lying close to it.

    L1(logits) plus gamma times L1(auxiliary logits) plus beta times manifold, where L1 is (1 - alpha) times
    task plus alpha times match.

    Args:
        task: that labels and outputs are of.
        distillation: alpha, beta, gamma, temperature, formulation, manifold.

    Returns:
        Terms `task`, `match`, `task_aux`, `match_aux`, `manifold`; the norms of both batch means beside the
        paper's cosine, which has no lower bound without them.

    Source: arXiv 2603.10877, eq. 2 and section 3.3.
    """
    alpha, gamma = distillation.alpha, distillation.gamma
    return weighted(
        _task(task, 1 - alpha),
        _match(task, distillation, alpha),
        _task_aux(task, gamma * (1 - alpha)),
        _match_aux(task, distillation, gamma * alpha),
        *manifold_terms(distillation),
        watched=_norms(distillation),
        rectifies=must_rectify(task, distillation.formulation),
    )


def _task(task: TaskSpec, weight: float) -> Term:
    loss = TASK_LOSSES[task.label_kind]
    return Term(
        "task", weight, lambda view, _, labels, means=WHOLE: loss(there(view.logits_BC), labels, means)
    )


def _task_aux(task: TaskSpec, weight: float) -> Term:
    loss = TASK_LOSSES[task.label_kind]

    def value(view: View, _: View | None, labels: Tensor, means: Means = WHOLE) -> Tensor:
        return loss(there(view.aux_logits_BC), labels, means)

    return Term("task_aux", weight, value)


def _match(task: TaskSpec, distillation: DistillationConfig, weight: float) -> Term:
    loss, phi = MATCHING_LOSSES[distillation.formulation], PHIS[task.label_kind]

    def value(view: View, aligner: View | None, _: Tensor, means: Means = WHOLE) -> Tensor:
        other_BC = there(there(aligner).logits_BC)
        return loss(there(view.logits_BC), other_BC, distillation.temperature, phi, means)

    return Term("match", weight, value)


def _match_aux(task: TaskSpec, distillation: DistillationConfig, weight: float) -> Term:
    loss, phi = MATCHING_LOSSES[distillation.formulation], PHIS[task.label_kind]

    def value(view: View, aligner: View | None, _: Tensor, means: Means = WHOLE) -> Tensor:
        other_BC = there(there(aligner).aux_logits_BC)
        return loss(there(view.aux_logits_BC), other_BC, distillation.temperature, phi, means)

    return Term("match_aux", weight, value)


def manifold_terms(distillation: DistillationConfig) -> tuple[Term, ...]:
    """The manifold loss by its weight beta, or nothing where there is none.

    Raises:
        ConfigError: the formulation has no such loss.
    """
    name, formulation = distillation.manifold, distillation.formulation
    if name == "none":
        return ()
    if (formulation, name) not in MANIFOLD_LOSSES:
        having = [str(one) for one, other in MANIFOLD_LOSSES if other == name]
        wanted = f"give --formulation {' or '.join(having)}" if having else "choose another --manifold"
        raise ConfigError(f"--manifold {name} has no formulation {formulation}; {wanted}")
    loss = MANIFOLD_LOSSES[formulation, name]

    def value(view: View, aligner: View | None, _: Tensor, means: Means = WHOLE) -> Tensor:
        return loss(there(view.latent_BP), there(there(aligner).latent_BP), means)

    return (Term("manifold", distillation.beta, value),)


def _norms(distillation: DistillationConfig) -> tuple[Term, ...]:
    unbounded = (distillation.formulation, distillation.manifold) == (Formulation.PAPER, "cosine")
    if not unbounded or distillation.beta == 0:
        return ()
    return (
        Term(
            "student_norm", 0.0, lambda view, _, __, means=WHOLE: centroid_norm(there(view.latent_BP), means)
        ),
        Term(
            "aligner_norm",
            0.0,
            lambda _, aligner, __, means=WHOLE: centroid_norm(there(there(aligner).latent_BP), means),
        ),
    )


def there(value: Part | None) -> Part:
    """A part of a view that the objective needs."""
    assert value is not None, "the objective asks for a head that the tower does not have"
    return value
