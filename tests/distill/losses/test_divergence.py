import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distill.losses.divergence import (
    TOKEN_LOSSES,
    check_divergence,
    drawn_loss,
    jsd_loss,
    parse_divergence,
    soften,
)
from schemas.errors import ConfigError

NAMES = ("forward", "reverse", "jsd:0.5", "jsd:0.1")
# Teacher (1/2, 1/2), student (1/4, 3/4); the mixture of the third is (3/8, 5/8).
BY_HAND = {
    "forward": math.log(4 / 3) / 2,
    "reverse": math.log(1 / 2) / 4 + 3 * math.log(3 / 2) / 4,
    "jsd:0.5": 2 * (math.log(16 / 15) / 2 + math.log(2 / 3) / 4 + 3 * math.log(6 / 5) / 4),
}
every_loss = pytest.mark.parametrize("name", NAMES)
seeds = st.integers(0, 2**31)


def two(seed: int, tokens: int = 5, buckets: int = 9, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, tokens, buckets, generator=generator, dtype=dtype).mul(3).log_softmax(-1)


@pytest.mark.parametrize("name", BY_HAND)
def test_number_computed_by_hand(name: str) -> None:
    teacher, student = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert parse_divergence(name).loss(student, teacher).item() == pytest.approx(BY_HAND[name], abs=1e-6)


@every_loss
def test_zero_at_equality_and_so_is_its_gradient(name: str) -> None:
    student = two(0)[0].requires_grad_()
    loss = parse_divergence(name).loss(student.log_softmax(-1), student.detach())
    assert loss.abs().max().item() < 1e-12
    (slope,) = torch.autograd.grad(loss.sum(), student)
    assert slope.abs().max().item() < 1e-12


@every_loss
@given(seed=seeds)
def test_never_negative_and_blind_to_the_order_of_buckets(name: str, seed: int) -> None:
    student, teacher = two(seed)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    loss = parse_divergence(name).loss
    values = loss(student, teacher)
    assert values.min().item() > 0
    torch.testing.assert_close(loss(student[:, order], teacher[:, order]), values)


@given(seed=seeds)
def test_the_ends_of_jsd_are_the_two_divergences(seed: int) -> None:
    student, teacher = two(seed).div(3).log_softmax(-1)
    for beta, name in ((1e-7, "forward"), (1 - 1e-7, "reverse")):
        wanted = TOKEN_LOSSES[name].loss(student, teacher)
        torch.testing.assert_close(jsd_loss(student, teacher, beta), wanted, rtol=1e-3, atol=1e-5)


def test_jsd_is_symmetric_where_the_two_change_places() -> None:
    student, teacher = two(3)
    torch.testing.assert_close(jsd_loss(student, teacher, 0.2), jsd_loss(teacher, student, 0.8))


@every_loss
def test_buckets_that_are_not_there_count_for_nothing(name: str) -> None:
    student, teacher = two(1)
    nothing = torch.full((5, 3), -torch.inf, dtype=torch.float64)
    wide = torch.cat([student, nothing], dim=1).requires_grad_()
    loss = parse_divergence(name).loss
    values = loss(wide, torch.cat([teacher, nothing], dim=1))
    torch.testing.assert_close(values, loss(student, teacher))
    (slope,) = torch.autograd.grad(values.sum(), wide)
    assert slope.isfinite().all()
    assert not slope[:, 9:].any()


@every_loss
def test_gradient_reaches_the_student_only(name: str) -> None:
    student, teacher = (tensor.requires_grad_() for tensor in two(2).unbind())
    parse_divergence(name).loss(student, teacher).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@every_loss
def test_finite_where_the_teacher_leaves_nothing(name: str) -> None:
    teacher = torch.tensor([[0.0, -torch.inf]])
    student = torch.tensor([[0.25, 0.75]]).log().requires_grad_()
    loss = parse_divergence(name).loss(student, teacher)
    assert loss.isfinite().all()
    assert torch.autograd.grad(loss.sum(), student)[0].isfinite().all()
    assert loss.item() > 0


def test_draws_by_hand() -> None:
    share = torch.tensor([[0.75, 0.25, 0.0]]).log()
    student = torch.tensor([[0.5, 0.25, 0.1]]).log()
    assert drawn_loss(student, share).item() == pytest.approx(1.25 * math.log(2))


def test_softening_flattens_and_keeps_the_sum() -> None:
    logprobs = torch.tensor([[0.8, 0.2]]).log()
    assert soften(logprobs, 2).exp().tolist()[0] == pytest.approx([2 / 3, 1 / 3])
    assert soften(logprobs, 1) is logprobs


@pytest.mark.parametrize(
    ("text", "name"), [("jsd:0", "forward"), ("jsd:1.0", "reverse"), ("jsd:.5", "jsd:.5")]
)
def test_what_is_read(text: str, name: str) -> None:
    assert parse_divergence(text).name == name


@pytest.mark.parametrize("text", ["", "jsd", "jsd:", "jsd:1.5", "jsd:-1", "jsd:0.001", "jsd:nan", "backward"])
def test_what_is_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="wanted forward, reverse or jsd:B") as refusal:
        parse_divergence(text)
    assert "\n" not in str(refusal.value)


def test_what_draws_cannot_give_is_refused() -> None:
    check_divergence(parse_divergence("forward"), 1, drawn=True)
    check_divergence(parse_divergence("reverse"), 3, drawn=False)
    for name in ("reverse", "jsd:0.5"):
        with pytest.raises(ConfigError, match=f"--kd-divergence {name}: draws"):
            check_divergence(parse_divergence(name), 1, drawn=True)
    with pytest.raises(ConfigError, match="--kd-temperature 2: draws"):
        check_divergence(parse_divergence("forward"), 2, drawn=True)
