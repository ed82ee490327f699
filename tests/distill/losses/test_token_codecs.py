"""What each codec costs a loss, on what SmolLM2 really says of a few sentences.

The student is the same model without its last four layers, so the two differ as a student and a teacher do.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from distill.losses.divergence import parse_divergence
from distill.losses.token import token_losses
from distill.teacher_tokens import gather_tokens, unpack
from distill.view import TokenView
from schemas.codec import CODECS
from schemas.topk import draw, select_top

SENTENCES = (
    "The film is slow, but its last half hour is among the finest things this director has done.",
    "Water boils at a lower temperature on a mountain because the air presses on it less.",
    "def mean(values):\n    return sum(values) / len(values)\n",
)
NUM_DRAWS = 50


class Towers(NamedTuple):
    """Hidden states of the student, the head, the tokens, and all log-probabilities of the teacher."""

    hidden_ND: Tensor
    head_VD: Tensor
    targets_N: Tensor
    whole_NV: Tensor


@pytest.fixture(scope="module")
def towers(fetched: Path) -> Towers:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = fetched / "models" / "smollm2-135m-instruct"
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    hidden, last, targets = [], [], []
    with torch.no_grad():
        for sentence in SENTENCES:
            ids = tokenizer(sentence, return_tensors="pt").input_ids
            states = model.model(ids, output_hidden_states=True)
            hidden.append(model.model.norm(states.hidden_states[-4])[0, :-1])
            last.append(states.last_hidden_state[0, :-1])
            targets.append(ids[0, 1:])
    head = model.lm_head.weight.detach()
    return Towers(torch.cat(hidden), head, torch.cat(targets), (torch.cat(last) @ head.T).log_softmax(-1))


def loss_of(towers: Towers, codec: str, k: int, name: str = "forward") -> tuple[float, Tensor]:
    """The divergence, and its gradient by the hidden states."""
    whole = towers.whole_NV.numpy()
    if codec == "sampled":
        blobs, tails = CODECS[codec].encode(draw(whole, k, "row")), None
    else:
        top, tail = select_top(whole, k)
        blobs, tails = CODECS[codec].encode(top), [tail]
    teacher = unpack(gather_tokens([blobs[0]], [blobs[1]], tails, whole.shape[1]), torch.device("cpu"))
    hidden = towers.hidden_ND.clone().requires_grad_()
    view = TokenView(hidden, towers.head_VD, towers.targets_N)
    losses = token_losses(view, teacher, divergence=parse_divergence(name), task_weight=0)
    losses.total.backward()
    assert hidden.grad is not None
    return losses.parts["kd"].item(), hidden.grad


def eager(towers: Towers) -> tuple[float, Tensor]:
    """Forward KL with the teacher in memory, in float64: float32's sum over 49,152 ids is off by 1e-5."""
    hidden = towers.hidden_ND.double().requires_grad_()
    student = (hidden @ towers.head_VD.double().T).log_softmax(-1)
    teacher = towers.whole_NV.double().log_softmax(-1)
    loss = (teacher.exp() * (teacher - student)).sum(-1).mean()
    loss.backward()
    assert hidden.grad is not None
    return loss.item(), hidden.grad.float()


def distance(one: Tensor, other: Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize(("codec", "nats", "slope"), [("exact", 1e-5, 1e-5), ("half", 5e-4, 1e-3)])
def test_the_whole_vocabulary_is_the_live_teacher(
    towers: Towers, codec: str, nats: float, slope: float
) -> None:
    loss, gradient = loss_of(towers, codec, towers.whole_NV.shape[1])
    wanted, live = eager(towers)
    assert loss == pytest.approx(wanted, abs=nats)
    assert distance(gradient, live) < slope


@pytest.mark.parametrize("name", ["forward", "reverse", "jsd:0.5"])
@pytest.mark.parametrize(("codec", "nats", "slope"), [("half", 2e-4, 1e-3), ("packed", 1.5e-2, 2e-2)])
def test_rounding_costs_little(towers: Towers, name: str, codec: str, nats: float, slope: float) -> None:
    loss, gradient = loss_of(towers, codec, 64, name)
    wanted, exact = loss_of(towers, "exact", 64, name)
    assert loss == pytest.approx(wanted, abs=nats)
    assert distance(gradient, exact) < slope


def test_fewer_entries_see_less_of_the_difference(towers: Towers) -> None:
    losses = [loss_of(towers, "exact", k)[0] for k in (1, 8, 64, 512)]
    assert losses == sorted(losses)
    assert losses[-1] < eager(towers)[0]


def test_draws_are_within_five_standard_errors(towers: Towers) -> None:
    student = (towers.hidden_ND @ towers.head_VD.T).log_softmax(-1)
    target = towers.whole_NV.exp()
    mean = -(target * student).sum(-1)
    variance = (target * student**2).sum(-1) - mean**2
    error = (variance.sum() / NUM_DRAWS).sqrt() / len(mean)
    loss, gradient = loss_of(towers, "sampled", NUM_DRAWS)
    # The draws are seeded by the row's name; chance exceeds five standard errors once in a million.
    assert abs(loss - mean.mean().item()) < 5 * error.item()
    assert distance(gradient, eager(towers)[1]) < 0.25
