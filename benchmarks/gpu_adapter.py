"""A LoRA step of a 3B model on a GPU: tokens a second, and the share of the card's own matrix rate.

A LLaMA of the sizes of Llama-3.2-3B with random weights, saved in bfloat16 as that one is, 6.5 GB in a
temporary folder. `distill --precision bf16 --lora-rank 8 --lora-targets q_proj,v_proj` trains it on rows of
256 prompt tokens and 256 answer tokens, 8 a batch: cross-entropy, and KD from a cache with 50 entries a
token. Utilisation is the arithmetic that a step needs (`flops_of_step`) by what the card would do in the
step's time at the rate of a bfloat16 product of two square matrices of 8,192, measured here as well. The
first steps are not timed.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.device_meter import metered, rate_of
from benchmarks.measure import Claim, claim_of
from distill.config import resolve
from distill.pretrained import quiet
from distill.trainer import fit
from schemas.answer import Answer
from schemas.cache import TeacherCache, open_cache
from schemas.codec import CODECS
from schemas.example import Example, Label
from schemas.manifest import CacheManifest, Request, ShardFile, TeacherIdentity
from schemas.manifest_file import write_manifest
from schemas.rows import Row, encode
from schemas.shard import arrow_schema, seal, shard_name
from schemas.tokenizer import tokenizer_digest
from schemas.topk import TopK

_PAD, _END, _REPORTED = "<pad>", "<end>", 8
_METHODS = {"undistilled": "cross-entropy", "kd": "KD from the cache"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of the model, and of what it learns.

    Attributes:
        width: of its states.
        layers: of it.
        heads: that ask.
        shared_heads: that are asked: keys and values.
        head_width: of each.
        inner_width: of the feed-forward layers.
        vocabulary: ids.
        prompt: tokens of each row's prompt.
        answer: of its answer, the end of the text included.
        batch: rows.
        steps: timed in each round.
        warm_up: before them.
        rounds: all ways in turn.
        kept: entries of the teacher, a token.
        rank: of the adapter.
        square: edge of the matrices that the card's own rate is measured with.
    """

    width: int = 3072
    layers: int = 28
    heads: int = 24
    shared_heads: int = 8
    head_width: int = 128
    inner_width: int = 8192
    vocabulary: int = 128_256
    prompt: int = 256
    answer: int = 256
    batch: int = 8
    steps: int = 12
    warm_up: int = 3
    rounds: int = 2
    kept: int = 50
    rank: int = 8
    square: int = 8192

    @property
    def tokens(self) -> int:
        """Of a batch, prompts and answers."""
        return self.batch * (self.prompt + self.answer)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step took."""

    seconds: float
    peak_bytes: int


def claims(device: torch.device, size: Size = Size()) -> list[Claim]:
    """Measure both methods, in turn, each round beside the card's own rate."""
    with tempfile.TemporaryDirectory() as name:
        student = write_model(Path(name) / "student", size, device)
        cache = write_scores(Path(name) / "cache", student, size)
        rounds: list[dict[str, Step]] = []
        products: list[float] = []
        for _ in range(size.rounds):
            products.append(product_rate(device, size.square))
            rounds.append({method: trained(student, cache, method, size, device) for method in _METHODS})
    own = [claim for method in _METHODS for claim in _claims(method, rounds, products, size)]
    ratio = claim_of(
        "time of a KD step from the cache, by a cross-entropy step, adapter of a 3B model",
        [one["kd"].seconds / one["undistilled"].seconds for one in rounds],
        at_most=1.1,
        detail=" and ".join(
            f"{1000 * statistics.median(one[m].seconds for one in rounds):.0f} ms"
            for m in ("kd", "undistilled")
        ),
    )
    return [*own, ratio]


def _claims(method: str, rounds: list[dict[str, Step]], products: list[float], size: Size) -> list[Claim]:
    words, needed = _METHODS[method], flops_of_step(size)
    steps = [one[method] for one in rounds]
    gigabytes = statistics.median(step.peak_bytes for step in steps) / 1e9
    return [
        claim_of(
            f"tokens a second of a step with an adapter of a 3B model, {words}",
            [size.tokens / step.seconds for step in steps],
            detail=f"{size.batch} rows of {size.prompt + size.answer} tokens, {gigabytes:.1f} GB at most",
        ),
        claim_of(
            f"share of the card's own rate of bfloat16 products in that step, {words}",
            [needed / step.seconds / rate for step, rate in zip(steps, products, strict=True)],
            at_least=0.3,
            detail=f"{needed / 1e12:.3g} TFLOP a step; products of {size.square} by {size.square} at "
            f"{statistics.median(products) / 1e12:.4g} TFLOP/s",
        ),
    ]


def flops_of_step(size: Size) -> float:
    """Floating-point operations that a step needs, however it is computed: two for each multiplication.

    The base forward, and back to the states that it reads, though not below the first layer's adapters, and
    to none of its weights; the adapters forward and twice back; the head, for the answers, forward and back
    to the states. Of attention half of all pairs, which is what a causal model has: two products forward,
    four back.
    """
    asked, told = size.heads * size.head_width, size.shared_heads * size.head_width
    reading = size.width * (asked + 2 * told)
    others = asked * size.width + 3 * size.width * size.inner_width
    base = (2 * size.layers - 1) * reading + 2 * size.layers * others
    adapters = 3 * size.layers * size.rank * (2 * size.width + asked + told)
    head = 2 * size.width * size.vocabulary * size.batch * size.answer
    pairs = size.batch * (size.prompt + size.answer) ** 2 / 2
    return 2 * (size.tokens * (base + adapters) + head + size.layers * pairs * asked * 6)


def product_rate(device: torch.device, edge: int, repeats: int = 20) -> float:
    """Floating-point operations a second of a bfloat16 product of two random square matrices."""
    one, other = (torch.randn(edge, edge, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * edge**3 * rate_of(lambda: one @ other, device, repeats)


def write_model(folder: Path, size: Size, device: torch.device) -> Path:
    """A LLaMA with random weights in bfloat16, its embeddings tied, and a tokenizer of as many words."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    _write_tokenizer(folder, size.vocabulary)
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.shared_heads,
        head_dim=size.head_width,
        intermediate_size=size.inner_width,
        max_position_embeddings=size.prompt + size.answer + 8,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=0,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    kind: Any = AutoModelForCausalLM
    # Drawn on the device, which takes seconds there and minutes on a host.
    with quiet(), device:
        kind.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path, vocabulary: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {_PAD: 0, _END: 1} | {f"w{number}": number for number in range(2, vocabulary)}
    words = Tokenizer(models.WordLevel(ids, unk_token=_PAD))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token=_PAD, eos_token=_END).save_pretrained(folder)


def write_scores(folder: Path, student: Path, size: Size) -> TeacherCache:
    """A cache of random prompts and answers, as if a teacher with this tokenizer had scored them."""
    folder.mkdir()
    splits = {"train": size.batch * (size.warm_up + size.steps), "validation": _REPORTED}
    manifest = CacheManifest(
        teacher=TeacherIdentity(
            backend="transformers",
            name="random",
            revision="1",
            modality="text",
            vocab_size=size.vocabulary,
            hashes={"tokenizer": tokenizer_digest(student)},
        ),
        request=Request(
            task="chain-sum",
            source="random",
            splits=splits,
            prompts_digest="random",
            store=("text", "logprobs"),
            rows_per_shard=10_000,
            codec="packed",
        ),
    )
    random, files = np.random.default_rng(0), list[ShardFile]()
    for split, count in splits.items():
        rows = [_row(random, split, at, size) for at in range(count)]
        table = pa.Table.from_batches([encode(rows, arrow_schema(manifest))])
        files.append(seal(folder, shard_name(split, 0, 1), split, table))
    write_manifest(folder, manifest.model_copy(update={"files": tuple(files)}))
    return open_cache(folder, verify=False)


def _row(random: np.random.Generator, split: str, at: int, size: Size) -> Row:
    prompt, answer = (
        random.integers(2, size.vocabulary, length, np.int32) for length in (size.prompt, size.answer - 1)
    )
    asked, said = (" ".join(f"w{one}" for one in ids) for ids in (prompt.tolist(), answer.tolist()))
    ids, values = CODECS["packed"].encode(_entries(random, size))
    return Row(
        Example(
            id=f"{split}-{at}",
            task="chain-sum",
            split=split,
            fields={"question": asked},
            label=Label(target_text=said),
        ),
        asked,
        Answer(
            texts=(said,),
            token_ids=np.append(answer, np.int32(1)),
            token_logprobs=np.full(size.answer, -3, np.float32),
            topk_ids=ids,
            topk_logprobs=values,
            tail_logprob=np.full(size.answer, np.log(0.1), np.float32),
            finish_reason="stop",
        ),
    )


def _entries(random: np.random.Generator, size: Size) -> TopK:
    """As many entries of each token, nine tenths of the mass in them."""
    ids = np.concatenate([_chosen(random, size.vocabulary, size.kept) for _ in range(size.answer)])
    weights = -np.sort(random.exponential(3, (size.answer, size.kept)))
    logprobs = weights - np.log(np.exp(weights).sum(axis=1, keepdims=True) / 0.9)
    counts = np.full(size.answer, size.kept, np.uint32)
    return TopK(ids, logprobs.astype(np.float32).reshape(-1), counts, size.vocabulary)


def _chosen(random: np.random.Generator, vocabulary: int, count: int) -> np.ndarray:
    """Different ids, drawn without going through all of them."""
    first, apart = int(random.integers(vocabulary)), vocabulary // count
    return ((first + apart * np.arange(count)) % vocabulary).astype(np.int32)


def trained(student: Path, cache: TeacherCache, method: str, size: Size, device: torch.device) -> Step:
    """Train one epoch, and measure its steps after the first ones."""
    given = {
        "task": "chain-sum",
        "student": str(student),
        "method": method,
        "protocol": "paper-dev",
        "epochs": 1,
        "batch_size": size.batch,
        "max_length": size.prompt + size.answer,
        "max_new_tokens": 1,
        "precision": "bf16",
        "device": device.type,
        "lora_rank": size.rank,
        "lora_targets": "q_proj,v_proj",
    }
    last = size.warm_up + size.steps
    with tempfile.TemporaryDirectory() as run, metered(device, size.warm_up, last) as meter:
        fit(resolve(given, "text"), cache, Path(run), quiet=True)
    assert meter.steps == last, f"{meter.steps} steps, {last} were expected"
    return Step(meter.seconds / size.steps, meter.peak_bytes)
