"""Losses on tokens: the head in parts against plain cross-entropy and a KL over the whole vocabulary.

One thread, 400 tokens, a head of 576 by 49,152 (SmolLM2-135M's), teachers of 64 entries. A step is the head,
the losses, and the gradients of hidden states and head; the rest of a student would only bring the ratios
nearer to one. Ours is cross-entropy and forward KL from the cache in one pass. Plain is cross-entropy on all
logits, as a training loop without distillation has it; naive adds KL against a teacher's whole distribution
in memory; checkpointed is ours by other means: the eager loss in parts of 100 tokens, whose logits are made
again on the way back. Each way runs in a process of its own; time is its CPU time, memory its peak above what
stood before.

Unpacking is from the columns' bytes to padded tensors, against `schemas.codec` row by row to flat arrays.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, nll_loss
from torch.utils.checkpoint import checkpoint

from benchmarks.measure import Claim, claim_of
from distill.losses.token import token_losses
from distill.teacher_tokens import TeacherTokens, gather_tokens, unpack
from distill.view import TokenView
from schemas.codec import CODECS
from schemas.topk import TopK

TOKENS, WIDTH, VOCAB, KEPT = 400, 576, 49_152, 64
ROUNDS, STEPS = 3, 3
ROWS, ROW_TOKENS, TEACHER_VOCAB = 32, 200, 151_936
Step = Callable[[], Tensor]


def run() -> list[Claim]:
    """Measure the claims, the ways of each round in turn."""
    torch.set_num_threads(1)
    return [*_steps("float32"), *_steps("bfloat16"), *_unpacking()]


def _steps(dtype: str) -> list[Claim]:
    rounds = [{name: _measured(name, dtype) for name in WAYS} for _ in range(ROUNDS)]

    def ratio(peer: str, which: int) -> list[float]:
        return [each["ours"][which] / each[peer][which] for each in rounds]

    def detail(peer: str, which: int, unit: str) -> str:
        ours, theirs = (statistics.median(each[name][which] for each in rounds) for name in ("ours", peer))
        return f"{ours:.3g} {unit} against {theirs:.3g}"

    return [
        claim_of(
            f"{what} of cross-entropy and KD in parts, by {peer}, {dtype}",
            ratio(peer, which),
            at_most=bound,
            detail=detail(peer, which, unit),
        )
        for peer, bounds in (("plain", (1.1, 1)), ("naive", (1, 1)), ("checkpointed", (1, 1)))
        for which, what, unit, bound in ((0, "time", "s", bounds[0]), (1, "peak memory", "MB", bounds[1]))
    ]


def _measured(name: str, dtype: str) -> tuple[float, float]:
    """Seconds of CPU time a step, and MB of its peak, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, name, dtype).result()


def _measure(name: str, dtype: str) -> tuple[float, float]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    view = TokenView(
        torch.randn(TOKENS, WIDTH).to(getattr(torch, dtype)).requires_grad_(),
        (torch.randn(VOCAB, WIDTH) / 20).to(getattr(torch, dtype)).requires_grad_(),
        torch.randint(0, VOCAB, (TOKENS,)),
    )
    step = WAYS[name](view)
    _train(view, step)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _kilobytes("VmRSS")
    seconds = [_train(view, step) for _ in range(STEPS)]
    return min(seconds), (_kilobytes("VmHWM") - before) / 1024


def _train(view: TokenView, step: Step) -> float:
    view.hidden_ND.grad = view.head_VD.grad = None
    started = time.process_time()
    step().backward()
    seconds = time.process_time() - started
    view.hidden_ND.grad = view.head_VD.grad = None
    return seconds


def _kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def _teacher() -> TeacherTokens:
    kept = torch.randn(TOKENS, KEPT).log_softmax(-1).sort(descending=True).values + float(np.log(0.9))
    ids = torch.rand(TOKENS, VOCAB).topk(KEPT).indices.int()
    counts = torch.full((TOKENS,), KEPT, dtype=torch.int32)
    return TeacherTokens(ids, kept, counts, torch.full((TOKENS,), float(np.log(0.1))), VOCAB)


def _ours(view: TokenView) -> Step:
    teacher = _teacher()
    return lambda: token_losses(view, teacher).total


def _plain(view: TokenView) -> Step:
    return lambda: cross_entropy((view.hidden_ND @ view.head_VD.T).float(), view.targets_N)


def _naive(view: TokenView) -> Step:
    whole_NV = torch.randn(TOKENS, VOCAB).log_softmax(-1)

    def step() -> Tensor:
        student_NV = (view.hidden_ND @ view.head_VD.T).float().log_softmax(-1)
        kd = kl_div(student_NV, whole_NV, log_target=True, reduction="batchmean")
        return nll_loss(student_NV, view.targets_N) + kd

    return step


def _checkpointed(view: TokenView, num_parts: int = 4) -> Step:
    teacher = _teacher()

    def part(some: slice, hidden_nD: Tensor, head_VD: Tensor) -> Tensor:
        student_nV = (hidden_nD @ head_VD.T).float().log_softmax(-1)
        return _eager(student_nV, view.targets_N[some], teacher.at(some)) / TOKENS

    def step() -> Tensor:
        size = TOKENS // num_parts
        parts = [slice(start, start + size) for start in range(0, TOKENS, size)]
        losses = [
            checkpoint(part, some, view.hidden_ND[some], view.head_VD, use_reentrant=False) for some in parts
        ]
        return torch.stack(losses).sum()

    return step


def _eager(student_nV: Tensor, targets_n: Tensor, teacher: TeacherTokens) -> Tensor:
    assert teacher.tail_N is not None
    kept_nK = student_nV.gather(1, teacher.ids_NK.long())
    rest_n = torch.log1p(-kept_nK.exp().sum(dim=1).clamp(max=1 - 1e-7))
    kd = (teacher.logprobs_NK.exp() * (teacher.logprobs_NK - kept_nK)).sum()
    kd = kd + (teacher.tail_N.exp() * (teacher.tail_N - rest_n)).sum()
    return kd + nll_loss(student_nV, targets_n, reduction="sum")


WAYS: dict[str, Callable[[TokenView], Step]] = {
    "ours": _ours,
    "plain": _plain,
    "naive": _naive,
    "checkpointed": _checkpointed,
}


def _unpacking() -> list[Claim]:
    return [_unpacked(codec) for codec in CODECS]


def _unpacked(codec: str) -> Claim:
    random = np.random.default_rng(0)
    tops = [row_of(codec, random, ROW_TOKENS) for _ in range(ROWS)]
    ids, values = zip(*(CODECS[codec].encode(top) for top in tops), strict=True)
    tails = None if codec == "sampled" else [np.full(ROW_TOKENS, -2, np.float32)] * ROWS

    def torch_way() -> None:
        unpack(gather_tokens(ids, values, tails, TEACHER_VOCAB), torch.device("cpu"))

    def numpy_way() -> None:
        for blobs in zip(ids, values, strict=True):
            CODECS[codec].decode(*blobs, TEACHER_VOCAB)

    pairs = [(_rate(torch_way), _rate(numpy_way)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    return claim_of(
        f"tokens a second unpacked and padded in torch, by numpy's to flat arrays, `{codec}`",
        [one / other for one, other in pairs],
        detail=f"{ours:.2g} and {theirs:.2g} million/s, {ROWS} rows of {ROW_TOKENS} tokens, one thread",
    )


def row_of(codec: str, random: np.random.Generator, num_tokens: int) -> TopK:
    """A row of 57 to 64 entries a token, as `--top-p 0.999` leaves; of about 12 where they are drawn."""
    drawn = codec == "sampled"
    counts = random.integers(*((8, 17) if drawn else (57, 65)), num_tokens).astype(np.uint32)
    num = int(counts.sum())
    logprobs = -random.exponential(5, num).astype(np.float32)
    draws = random.integers(1, 9, num, np.uint8) if drawn else None
    return TopK(random.integers(0, TEACHER_VOCAB, num, np.int32), logprobs, counts, TEACHER_VOCAB, draws)


def _rate(work: Callable[[], None], repeats: int = 20) -> float:
    work()
    seconds: list[float] = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return ROWS * ROW_TOKENS / statistics.median(seconds) / 1e6
