"""Token KD of a student that writes: a step from the cache, against a plain step and a live teacher.

One thread, float32. The student is the first 12 layers of SmolLM2-135M-Instruct, trained by AdamW on 4 rows
of 40 prompt tokens and 24 answer tokens: whole, or by an adapter of rank 8. Plain is cross-entropy on the
logits of the answers' tokens alone; kd adds forward KL to 50 entries a token, unpacked from the bytes of the
codec `packed`; live asks the whole of SmolLM2 on the same batch, and takes the KL over the whole vocabulary.
Where the student is trained whole, its own three passes over 12 layers are more than the teacher's one over
30, so no cache could save half of the step, and the bound is missed. Times are CPU time, the ways of each
round in turn.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from benchmarks.language_model import MODEL
from benchmarks.measure import Claim, claim_of
from distill.adapter import adapt
from distill.answer_stream import right_padded
from distill.config import LoraConfig
from distill.losses.token import token_losses
from distill.teacher_tokens import gather_tokens, unpack
from distill.view import TokenView
from distill.writer import Writer
from schemas.codec import CODECS
from schemas.topk import TopK

ROWS, PROMPT, ANSWER, KEPT, LAYERS = 4, 40, 24, 50, 12
ROUNDS = 5
CPU = torch.device("cpu")
Loss = Callable[[TokenView], Tensor]


def run() -> list[Claim]:
    """Measure the claims, for a student that is trained whole and for one in an adapter."""
    torch.set_num_threads(1)
    teacher = Writer(_model(None)).eval()
    return [
        *_claims(teacher, "trained whole", None),
        *_claims(teacher, "in an adapter", LoraConfig(lora_rank=8)),
    ]


def _claims(teacher: Writer, how: str, lora: LoraConfig | None) -> list[Claim]:
    torch.manual_seed(0)
    plain = _model(LAYERS)
    student = Writer(plain if lora is None else adapt(plain, lora, ()))
    vocab_size = len(student.plain.get_output_embeddings().weight)
    batch = _batch(vocab_size)
    ways = {"plain": _plain, "kd": _from_cache(vocab_size), "live": _live(teacher, batch)}
    rounds = _rounds(student, batch, ways)
    took = {name: statistics.median(one[name] for one in rounds) for name in ways}
    return [
        claim_of(
            f"time of a KD step from the cache, by a plain cross-entropy step, student {how}",
            [one["kd"] / one["plain"] for one in rounds],
            at_most=1.1,
            detail=f"{took['kd']:.2f} s against {took['plain']:.2f}",
        ),
        claim_of(
            f"time of a step with the live teacher, by a KD step from the cache, student {how}",
            [one["live"] / one["kd"] for one in rounds],
            at_least=2,
            detail=f"{took['live']:.2f} s against {took['kd']:.2f}",
        ),
    ]


def _rounds(student: Writer, batch: dict[str, Tensor], ways: dict[str, Loss]) -> list[dict[str, float]]:
    trained = [one for one in student.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6, fused=True)

    def seconds(loss: Loss) -> float:
        started = time.process_time()
        tokens = student(**batch).tokens
        assert tokens is not None
        loss(tokens).backward()
        optimiser.step()
        optimiser.zero_grad()
        return time.process_time() - started

    for loss in ways.values():
        seconds(loss)
    return [{name: seconds(loss) for name, loss in ways.items()} for _ in range(ROUNDS)]


def _model(layers: int | None) -> Any:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    model.model.layers = model.model.layers[:layers]
    model.config.num_hidden_layers = len(model.model.layers)
    return model


def _batch(vocab_size: int) -> dict[str, Tensor]:
    random = np.random.default_rng(0)
    prompts, answers = (
        list(random.integers(0, vocab_size, (ROWS, length), np.int32)) for length in (PROMPT, ANSWER)
    )
    return {name: torch.from_numpy(part) for name, part in right_padded(prompts, answers, 0).items()}


def _plain(view: TokenView) -> Tensor:
    return cross_entropy(view.hidden_ND @ view.head_VD.T, view.targets_N)


def _from_cache(vocab_size: int) -> Loss:
    random = np.random.default_rng(1)
    blobs = [CODECS["packed"].encode(_row(random, vocab_size)) for _ in range(ROWS)]
    ids, values = zip(*blobs, strict=True)
    tails = [np.full(ANSWER, np.log(0.1), np.float32)] * ROWS

    def loss(view: TokenView) -> Tensor:
        return token_losses(view, unpack(gather_tokens(ids, values, tails, vocab_size), CPU)).total

    return loss


def _row(random: np.random.Generator, vocab_size: int) -> TopK:
    logits = -np.sort(random.exponential(5, (ANSWER, KEPT)).astype(np.float32))
    logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True)) + np.log(0.9)
    ids = np.concatenate([random.choice(vocab_size, KEPT, replace=False) for _ in range(ANSWER)])
    counts = np.full(ANSWER, KEPT, np.uint32)
    return TopK(ids.astype(np.int32), logprobs.astype(np.float32).reshape(-1), counts, vocab_size)


def _live(teacher: Writer, batch: dict[str, Tensor]) -> Loss:
    def loss(view: TokenView) -> Tensor:
        with torch.no_grad():
            told = teacher(**batch).tokens
            teacher_NV = (told.hidden_ND @ told.head_VD.T).log_softmax(-1)
        logits_NV = view.hidden_ND @ view.head_VD.T
        kd = kl_div(logits_NV.log_softmax(-1), teacher_NV, log_target=True, reduction="batchmean")
        return cross_entropy(logits_NV, view.targets_N) + kd

    return loss
