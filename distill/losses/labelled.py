"""The objectives of a task with labels, for each tower, and the terms that they are made of.

Letters: B batch, C outputs, P manifold.
"""

from torch import Tensor

from distill.config import DistillationConfig
from distill.losses.manifold import MANIFOLD_LOSSES, centroid_norm
from distill.losses.matching import MATCHING_LOSSES, PHIS
from distill.losses.objective import Objective, Term, there, weighted
from distill.losses.task import TASK_LOSSES
from distill.means import WHOLE, Means
from distill.rules import Formulation
from distill.view import View
from schemas.errors import ConfigError
from schemas.tasks import LabelKind, TaskSpec


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
