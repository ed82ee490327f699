"""Shares of a batch, one after the other in this process: their mean is the batch, loss and gradient."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from distill.config import DistillationConfig
from distill.losses.labelled import student_objective
from distill.losses.objective import Losses, Objective
from distill.losses.token import token_losses
from distill.losses.writing import reconstructing_objective
from distill.means import WHOLE, share_of
from distill.processes import Processes
from distill.rules import Formulation
from distill.view import TokenView, View
from schemas.tasks import find_task

FULL = DistillationConfig(alpha=0.3, beta=2.0, gamma=0.5, temperature=4.0)
MANIFOLDS = [
    (formulation, name) for formulation in Formulation for name in ("cosine", "euclid", "elementwise")
]
# Rows of a batch and processes: even, uneven, and a process without a row.
SIZES = [(4, 2), (5, 2), (7, 3), (2, 3), (1, 2)]
many = pytest.mark.parametrize(("rows", "count"), SIZES)


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], Losses], int], list[Losses]]:
    """Compute what each of some processes would, their sums exchanged: the first time only to know them."""

    def run(compute: Callable[[int], Losses], count: int) -> list[Losses]:
        sent: list[list[Tensor]] = []
        for rank in range(count):
            sent.append([])
            monkeypatch.setattr(torch.distributed, "all_reduce", lambda one: sent[-1].append(one.clone()))
            compute(rank)
        found = []
        for rank in range(count):
            totals = iter([torch.stack(parts).sum(dim=0) for parts in zip(*sent, strict=True)])
            monkeypatch.setattr(
                torch.distributed, "all_reduce", lambda one, totals=totals: one.copy_(next(totals))
            )
            found.append(compute(rank))
        return found

    return run


def view(seed: int, rows: int, outputs: int = 2) -> View:
    generator = torch.Generator().manual_seed(seed)
    logits, aux = torch.randn(2, rows, outputs, generator=generator, dtype=torch.float64)
    latent = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    return View(logits.requires_grad_(), aux.requires_grad_(), latent.requires_grad_())


def parts(one: View, some: slice) -> View:
    return View(
        *(None if part is None else part[some] for part in (one.logits_BC, one.aux_logits_BC, one.latent_BP))
    )


def gradients(one: View) -> list[Tensor]:
    return [
        part.grad
        for part in (one.logits_BC, one.aux_logits_BC, one.latent_BP)
        if part is not None and part.grad is not None
    ]


def agree(
    objective: Objective,
    labels: Tensor,
    rows: int,
    count: int,
    in_turn: Callable[..., list[Losses]],
    *,
    outputs: int = 2,
) -> None:
    whole, aligner = view(0, rows, outputs), view(1, rows, outputs)
    wanted = objective(whole, aligner, labels)
    wanted.total.backward()
    shared = view(0, rows, outputs)

    def compute(rank: int) -> Losses:
        some, means = share_of(Processes(rank, count), rows)
        return objective(parts(shared, some), parts(aligner, some), labels[some], means=means)

    found = in_turn(compute, count)
    for name in wanted.parts:
        mean = torch.stack([one.parts[name] for one in found]).mean()
        # A norm that is only watched is taken in float32.
        assert mean.item() == pytest.approx(wanted.parts[name].item(), rel=1e-6, abs=1e-12), name
    assert torch.stack([one.total for one in found]).mean().item() == pytest.approx(
        wanted.total.item(), rel=1e-9
    )
    # What DDP does of the gradients of all.
    torch.stack([one.total for one in found]).mean().backward()
    for one, other in zip(gradients(whole), gradients(shared), strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@many
@pytest.mark.parametrize(("formulation", "manifold"), MANIFOLDS)
def test_every_manifold_loss_is_the_whole_batchs(
    in_turn: Callable[..., list[Losses]], formulation: Formulation, manifold: str, rows: int, count: int
) -> None:
    how = replace(FULL, formulation=formulation, manifold=manifold)
    labels = torch.tensor([index % 2 for index in range(rows)])
    agree(student_objective(find_task("movie-sentiment"), how), labels, rows, count, in_turn)


@many
def test_a_regression_and_independent_classes_are(
    in_turn: Callable[..., list[Losses]], rows: int, count: int
) -> None:
    numbers = torch.linspace(-4, 4, rows, dtype=torch.float64)
    agree(student_objective(find_task("movie-rating"), FULL), numbers, rows, count, in_turn, outputs=1)
    labels = (torch.arange(rows * 23).reshape(rows, 23) % 3 == 0).double()
    agree(student_objective(find_task("mm-imdb"), FULL), labels, rows, count, in_turn, outputs=23)


@many
def test_reconstruction_is(in_turn: Callable[..., list[Losses]], rows: int, count: int) -> None:
    wanted = torch.randn(rows, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    agree(reconstructing_objective(FULL), wanted, rows, count, in_turn)


def test_tokens_are_counted_over_all_processes() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(7, 4, generator=generator), torch.randn(9, 4, generator=generator)
    targets = torch.arange(7)
    wanted = token_losses(TokenView(hidden, head, targets)).total
    # One process has five of the seven answer tokens, the other two.
    shares = []
    for rank, some in enumerate((slice(0, 5), slice(5, 7))):
        _, means = share_of(Processes(rank, 2), 4, num_tokens=7)
        tokens = TokenView(hidden[some], head, targets[some])
        shares.append(token_losses(tokens, num_tokens=means.num_tokens).total)
    assert torch.stack(shares).mean().item() == pytest.approx(wanted.item(), rel=1e-6)


def test_one_process_takes_plain_means() -> None:
    some, means = share_of(Processes(), 5, num_tokens=9)
    values = torch.randn(5, 3)
    assert (some, means.num_tokens) == (slice(0, 5), 9)
    assert torch.equal(means.centroid(values), values.mean(dim=0))
    assert torch.equal(WHOLE.of_rows(values[:, 0]), values[:, 0].mean())


@many
def test_slices_make_the_whole_and_are_alike(rows: int, count: int) -> None:
    own = [Processes(rank, count).slice_of(rows) for rank in range(count)]
    assert [row for one in own for row in range(rows)[one]] == list(range(rows))
    sizes = [one.stop - one.start for one in own]
    assert max(sizes) - min(sizes) <= 1
