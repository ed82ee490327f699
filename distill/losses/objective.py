"""A tower's objective: named terms, each with its weight."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from distill.means import WHOLE, Means
from distill.teacher_tokens import TeacherTokens
from distill.view import TokenView, View

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


def there(value: Part | None) -> Part:
    """A part of a view that the objective needs."""
    assert value is not None, "the objective asks for a head that the tower does not have"
    return value
