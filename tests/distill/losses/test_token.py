"""Losses on tokens against eager ones, which see whole distributions and let autograd work."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from distill.losses import head_pass
from distill.losses.buckets import within
from distill.losses.divergence import parse_divergence
from distill.losses.objective import there
from distill.losses.token import token_losses
from distill.teacher_tokens import TeacherTokens, gather_tokens, unpack
from distill.view import TokenView
from schemas.codec import CODECS
from schemas.errors import ConfigError, MismatchError, ShapeError
from schemas.topk import draw, select_top

NUM, WIDTH, VOCAB = 23, 6, 40
CHOICES = [
    ("forward", 1.0),
    ("forward", 2.5),
    ("reverse", 1.0),
    ("reverse", 4.0),
    ("jsd:0.3", 1.0),
    ("jsd:0.9", 2.0),
]
every_choice = pytest.mark.parametrize(("name", "temperature"), CHOICES)


def view_of(
    seed: int = 0, num: int = NUM, vocab: int = VOCAB, padded: int = 0, dtype: torch.dtype = torch.float64
) -> TokenView:
    generator = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    targets = torch.randint(0, vocab, (num,), generator=generator)
    targets[3] = -100
    return TokenView(leaf(num, WIDTH), leaf(vocab + padded, WIDTH), targets, leaf(vocab + padded))


def said(seed: int = 1, num: int = NUM, vocab: int = VOCAB) -> Tensor:
    """Whole distributions of a teacher, log-probabilities, float32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, vocab, generator=generator).mul(2).log_softmax(-1)


def kept_of(whole: Tensor, codec: str = "exact", k: int = VOCAB, p: float = 1.0) -> TeacherTokens:
    """Through the cache's bytes."""
    if codec == "sampled":
        blobs, tails = CODECS[codec].encode(draw(whole.numpy(), k, "row")), None
    else:
        top, tail = select_top(whole.numpy(), k, p)
        blobs, tails = CODECS[codec].encode(top), [tail]
    return unpack(gather_tokens([blobs[0]], [blobs[1]], tails, whole.shape[1]), torch.device("cpu"))


def eager(view: TokenView, teacher: Tensor, name: str, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy and divergence over the whole vocabulary, from the definitions."""
    logits = view.hidden_ND @ view.head_VD.T + (0 if view.bias_V is None else view.bias_V)
    counted = view.targets_N != -100
    student = (logits[counted][:, : teacher.shape[1]] / temperature).softmax(-1)
    target = (teacher[counted].to(logits.dtype) / temperature).softmax(-1)
    task = cross_entropy(logits, view.targets_N)
    return task, divergence_of(student, target, name) * temperature**2


def divergence_of(student: Tensor, target: Tensor, name: str) -> Tensor:
    def kl(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(one > 0, one * (one / other).log(), 0).sum(-1).mean()

    if name == "forward":
        return kl(target, student)
    if name == "reverse":
        return kl(student, target)
    beta = float(name.split(":")[1])
    mixture = beta * target + (1 - beta) * student
    return (beta * kl(target, mixture) + (1 - beta) * kl(student, mixture)) / (beta * (1 - beta))


def parameters(view: TokenView) -> tuple[Tensor, ...]:
    return tuple(tensor for tensor in (view.hidden_ND, view.head_VD, view.bias_V) if tensor is not None)


def assert_same(view: TokenView, loss: Tensor, wanted: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(loss, wanted, rtol=0, atol=tolerance)
    ours = torch.autograd.grad(loss, parameters(view), retain_graph=False)
    theirs = torch.autograd.grad(wanted, parameters(view))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def test_number_computed_by_hand() -> None:
    # Of four ids the student gives each 1/4; the teacher kept id 2 at 1/2, so its tail is 1/2.
    teacher = TeacherTokens(
        torch.tensor([[2]], dtype=torch.int32),
        torch.tensor([[0.5]]).log(),
        torch.tensor([1], dtype=torch.int32),
        torch.tensor([0.5]).log(),
        4,
    )
    view = TokenView(torch.ones(1, 1), torch.zeros(4, 1), torch.tensor([0]))
    losses = token_losses(view, teacher, task_weight=0.5, kd_weight=2)
    assert losses.parts["task"].item() == pytest.approx(math.log(4))
    assert losses.parts["kd"].item() == pytest.approx(math.log(2) / 2 + math.log(2 / 3) / 2)
    assert losses.total.item() == pytest.approx(math.log(2) + math.log(4 / 3))


@every_choice
def test_equals_the_live_teacher_where_all_is_kept(name: str, temperature: float) -> None:
    view, whole = view_of(), said()
    losses = token_losses(
        view, kept_of(whole), divergence=parse_divergence(name), temperature=temperature, kd_weight=0.7
    )
    task, kd = eager(view, whole, name, temperature)
    torch.testing.assert_close(losses.parts["kd"], kd.detach(), rtol=0, atol=1e-5)
    assert_same(view, losses.total, task + 0.7 * kd, 1e-5)


@every_choice
@pytest.mark.parametrize("p", [1.0, 0.8])
def test_equals_the_eager_loss_over_buckets(name: str, temperature: float, p: float) -> None:
    view, whole = view_of(2), said(3)
    teacher = kept_of(whole, k=7, p=p)
    losses = token_losses(
        view, teacher, divergence=parse_divergence(name), temperature=temperature, task_weight=0
    )
    wanted = []
    student = (view.hidden_ND @ view.head_VD.T + view.bias_V).softmax(-1)
    for token in range(NUM):
        ids = teacher.ids_NK[token, : teacher.counts_N[token]].long()
        pair = []
        for one in (student[token], whole[token].double().exp()):
            buckets = torch.cat([one[ids], 1 - one[ids].sum(0, keepdim=True)]) ** (1 / temperature)
            pair.append(buckets / buckets.sum())
        wanted.append(divergence_of(*pair, name) * temperature**2)
    counted = view.targets_N != -100
    assert_same(view, losses.total, torch.stack(wanted)[counted].mean(), 1e-5)


@given(st.integers(1, NUM))
def test_parts_change_nothing(tokens_a_part: int) -> None:
    view, teacher = view_of(4, dtype=torch.float32), kept_of(said(), k=5)
    once = token_losses(view, teacher)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_pass, "MOST_LOGITS", tokens_a_part * (VOCAB + 16 * 5))
        assert_same(view, token_losses(view, teacher).total, once.total, 1e-5)


def test_no_tokens_and_tokens_without_entries() -> None:
    view, teacher = view_of(), kept_of(said(), k=5)
    nothing = TokenView(view.hidden_ND[:0], view.head_VD, view.targets_N[:0])
    losses = token_losses(nothing, teacher.at(slice(0, 0)))
    losses.total.backward()
    assert losses.total.item() == 0

    silent = TeacherTokens(
        teacher.ids_NK[:, :0], teacher.logprobs_NK[:, :0], teacher.counts_N * 0, torch.zeros(NUM), VOCAB
    )
    for name, temperature in CHOICES:
        losses = token_losses(view, silent, divergence=parse_divergence(name), temperature=temperature)
        assert losses.parts["kd"].item() == pytest.approx(0, abs=1e-6)
        assert_same(view, losses.total, eager(view, said(), "forward", 1)[0], 1e-6)


def test_cross_entropy_alone() -> None:
    view = view_of(5)
    losses = token_losses(view)
    assert set(losses.parts) == {"task"}
    assert_same(view, losses.total, eager(view, said(), "forward", 1)[0], 1e-6)


def test_a_student_padded_larger_has_no_mass_there() -> None:
    view, whole = view_of(6, padded=9), said()
    task, kd = eager(view, whole, "reverse", 1)
    losses = token_losses(view, kept_of(whole), divergence=parse_divergence("reverse"))
    assert_same(view, losses.total, task + kd, 1e-5)


def said_to_more(vocab: int = VOCAB, more: int = 5) -> Tensor:
    """A teacher that pads its vocabulary with ids of little mass, more than some real ids have."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(NUM, vocab, generator=generator).mul(2)
    return torch.cat([logits, torch.full((NUM, more), -3.5)], 1).log_softmax(-1)


@every_choice
def test_ids_that_pad_the_teacher_are_left_out(name: str, temperature: float) -> None:
    """With every entry kept the loss is that of the teacher without them, as if it had never had them."""
    teacher, view = said_to_more(), view_of()
    losses = token_losses(
        view,
        kept_of(teacher, k=VOCAB + 5),
        divergence=parse_divergence(name),
        temperature=temperature,
    )
    task, divergence = eager(view, teacher[:, :VOCAB].log_softmax(-1), name, temperature)
    assert_same(view, losses.total, task + divergence, 1e-5)


def test_mass_on_ids_that_pad_the_teacher_goes_to_the_rest() -> None:
    teacher, view = said_to_more(), view_of()
    whole = kept_of(teacher, k=42)
    beyond_NK = whole.ids_NK >= VOCAB
    assert beyond_NK.any()
    assert not beyond_NK[:, -1].all()
    fewer = within(whole, VOCAB)
    for token in range(NUM):
        count, own = int(fewer.counts_N[token]), ~beyond_NK[token]
        assert torch.equal(fewer.ids_NK[token, :count], whole.ids_NK[token][own])
        assert torch.equal(fewer.logprobs_NK[token, :count], whole.logprobs_NK[token][own])
    assert fewer.tail_N is not None
    masses = fewer.logprobs_NK.exp().sum(1) + fewer.tail_N.exp()
    rest_N = fewer.counts_N < VOCAB
    assert 0 < rest_N.sum() < NUM
    torch.testing.assert_close(masses[rest_N], torch.ones(NUM)[rest_N])
    assert (fewer.tail_N[~rest_N] == -torch.inf).all()
    assert token_losses(view, whole).total.isfinite()
    assert within(whole, VOCAB + 5) is whole
    drawn = token_losses(view, kept_of(teacher, "sampled", 255)).parts["kd"]
    student = (view.hidden_ND @ view.head_VD.T + there(view.bias_V)).log_softmax(-1)
    wanted = -(teacher[:, :VOCAB].exp() * student).sum(-1)[view.targets_N != -100].mean()
    assert drawn.item() == pytest.approx(wanted.item(), rel=0.02)


def test_masked_tokens_reach_nothing_and_the_divisor_may_be_another() -> None:
    view, teacher = view_of(7), kept_of(said(), k=5)
    whole = token_losses(view, teacher)
    half = token_losses(view, teacher, num_tokens=2 * int((view.targets_N != -100).sum()))
    assert half.total.item() == pytest.approx(whole.total.item() / 2)
    (slope,) = torch.autograd.grad(whole.total, view.hidden_ND)
    assert not slope[3].any()
    assert slope[4].any()


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_zero_at_equality(codec: str) -> None:
    whole = said()
    view = TokenView(
        whole.double().requires_grad_(), torch.eye(VOCAB, dtype=torch.float64), torch.zeros(NUM).long()
    )
    teacher = kept_of(whole, codec, 9)
    kd = token_losses(view, teacher, task_weight=0).parts["kd"].item()
    if codec == "sampled":
        entropy = -(whole.exp() * whole).sum(-1).mean().item()
        assert kd == pytest.approx(entropy, rel=0.1)
    else:
        assert kd == pytest.approx(0, abs=2e-3 if codec == "packed" else 1e-6)


def test_gradient_goes_to_the_student_only_and_not_to_a_frozen_head() -> None:
    view, teacher = view_of(8), kept_of(said(), k=5)
    assert teacher.tail_N is not None
    teacher.logprobs_NK.requires_grad_()
    teacher.tail_N.requires_grad_()
    view.head_VD.requires_grad_(requires_grad=False)
    token_losses(view, teacher).total.backward()
    assert view.hidden_ND.grad is not None
    assert view.hidden_ND.grad.any()
    assert view.head_VD.grad is None
    assert teacher.logprobs_NK.grad is None
    assert teacher.tail_N.grad is None


def test_differentiated_once_and_not_at_all() -> None:
    view, teacher = view_of(9), kept_of(said(), k=5)
    with torch.no_grad():
        silent = token_losses(view, teacher)
    losses = token_losses(view, teacher)
    assert not silent.total.requires_grad
    assert silent.total.item() == losses.total.item()
    losses.total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        losses.total.backward()


def test_the_total_may_be_scaled() -> None:
    view, teacher = view_of(10), kept_of(said(), k=5)
    (once,) = torch.autograd.grad(token_losses(view, teacher).total, view.head_VD)
    (thrice,) = torch.autograd.grad(3 * token_losses(view, teacher).total, view.head_VD)
    torch.testing.assert_close(thrice, 3 * once)


@every_choice
def test_finite_and_near_in_bfloat16(name: str, temperature: float) -> None:
    view, teacher = view_of(11, dtype=torch.bfloat16), kept_of(said(), "packed", 7)
    choice: dict[str, Any] = {"divergence": parse_divergence(name), "temperature": temperature}
    losses = token_losses(view, teacher, **choice)
    losses.total.backward()
    wide = TokenView(
        *(tensor.detach().double() for tensor in parameters(view)[:2]), view.targets_N, view.bias_V
    )
    assert losses.total.dtype == torch.float32
    assert losses.total.item() == pytest.approx(token_losses(wide, teacher, **choice).total.item(), rel=0.02)
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in parameters(view))


def test_autocast_multiplies_in_bfloat16_and_gives_float32_gradients() -> None:
    view, teacher = view_of(12, dtype=torch.float32), kept_of(said(), k=7)
    wanted = torch.autograd.grad(token_losses(view, teacher).total, parameters(view))
    with torch.autocast("cpu", torch.bfloat16):
        total = token_losses(view, teacher).total
    for one, other in zip(torch.autograd.grad(total, parameters(view)), wanted, strict=True):
        assert one.dtype == torch.float32
        assert not one.equal(other)
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


def test_finite_where_the_student_is_sure_and_wrong() -> None:
    hidden = torch.zeros(1, VOCAB)
    hidden[0, 0] = 500
    view = TokenView(hidden.requires_grad_(), torch.eye(VOCAB), torch.tensor([1]))
    teacher = kept_of(said(num=1), k=3)
    for name, temperature in CHOICES:
        losses = token_losses(view, teacher, divergence=parse_divergence(name), temperature=temperature)
        assert losses.total.isfinite()
        (slope,) = torch.autograd.grad(losses.total, view.hidden_ND)
        assert slope.isfinite().all()


def test_no_tensor_has_all_tokens_by_all_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    num, vocab = 40, 300
    monkeypatch.setattr(head_pass, "MOST_LOGITS", 8 * (vocab + 16 * 5))
    view, teacher = (
        view_of(num=num, vocab=vocab, dtype=torch.float32),
        kept_of(said(num=num, vocab=vocab), k=5),
    )
    seen: set[tuple[int, ...]] = set()

    class Shapes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            seen.update(
                tuple(t.shape)
                for t in (made if isinstance(made, tuple) else (made,))
                if isinstance(t, Tensor)
            )
            return made

    with Shapes():
        token_losses(view, teacher).total.backward()
    by_vocabulary = {shape for shape in seen if shape[-1:] == (vocab,) and len(shape) == 2}
    assert (8, vocab) in by_vocabulary
    assert max(math.prod(shape) for shape in by_vocabulary) == 8 * vocab


def test_draws_are_unbiased_in_value_and_gradient() -> None:
    num, vocab = 4000, 30
    whole = said(seed=5, num=1, vocab=vocab).div(2).log_softmax(-1)
    teacher = kept_of(whole.expand(num, -1), "sampled", 16)
    logits = torch.randn(vocab, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    hidden = logits.expand(num, -1).clone().requires_grad_()
    view = TokenView(hidden, torch.eye(vocab, dtype=torch.float64), torch.zeros(num).long())
    losses = token_losses(view, teacher, task_weight=0)
    (slope,) = torch.autograd.grad(losses.total * num, hidden)

    target, student = whole[0].double().exp(), logits.log_softmax(-1)
    variance = (target * student**2).sum() - (target * student).sum() ** 2
    wanted = -(target * student).sum()
    # The seeds are fixed; chance exceeds five standard errors once in a million.
    assert abs(losses.parts["kd"] - wanted) < 5 * (variance / (16 * num)).sqrt()
    error = (target * (1 - target) / (16 * num)).sqrt()
    assert ((slope.mean(0) - (student.exp() - target)).abs() / error).max() < 5


@pytest.mark.parametrize(("name", "temperature"), [("reverse", 1), ("jsd:0.5", 1), ("forward", 2)])
def test_draws_give_no_other_divergence(name: str, temperature: float) -> None:
    with pytest.raises(ConfigError, match="codec sampled"):
        token_losses(
            view_of(), kept_of(said(), "sampled"), divergence=parse_divergence(name), temperature=temperature
        )


def test_what_does_not_fit_is_refused() -> None:
    view = view_of()
    with pytest.raises(ShapeError, match="teacher has 22 tokens, the student 23"):
        token_losses(view, kept_of(said(), k=5).at(slice(1, None)))
    with pytest.raises(MismatchError, match="mass to ids from 40 on, which the student lacks"):
        token_losses(view, kept_of(said(vocab=45), k=45))
