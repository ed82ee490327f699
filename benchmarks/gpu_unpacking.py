"""Unpacking log-probabilities on the device, against numpy on the host and a copy of what it makes.

Both ways begin with the columns' bytes and end with the same padded tensors on the device, in batches of 64
rows of 256 tokens, with the number of entries that `--top-p 0.999` leaves. Ours lays the bytes side by side,
copies them and unpacks there, as training does; the other decodes each row with `schemas.codec`, pads with
numpy, and copies ids and log-probabilities, four times the bytes.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.device_meter import rate_of
from benchmarks.measure import Claim, claim_of
from benchmarks.token_loss import TEACHER_VOCAB, row_of
from distill.teacher_tokens import gather_tokens, unpack
from schemas.codec import CODECS


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is unpacked at once, and how often."""

    rows: int = 64
    tokens: int = 256
    rounds: int = 5
    repeats: int = 20


@dataclass(frozen=True, slots=True)
class Columns:
    """The cache's columns of a batch."""

    codec: str
    ids: tuple[bytes, ...]
    values: tuple[bytes, ...]
    tails: list[NDArray[np.float32]] | None


def claims(device: torch.device, load: Load = Load()) -> list[Claim]:
    """Measure each codec, both ways in turn."""
    return [_claim(columns_of(codec, load), device, load) for codec in CODECS]


def _claim(columns: Columns, device: torch.device, load: Load) -> Claim:
    def millions(way: object) -> float:
        assert callable(way)
        return load.rows * load.tokens * rate_of(lambda: way(columns, device), device, load.repeats) / 1e6

    pairs = [(millions(on_the_device), millions(on_the_host)) for _ in range(load.rounds)]
    ours, theirs = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    return claim_of(
        f"tokens a second unpacked on the device, by numpy's on the host and copied, `{columns.codec}`",
        [one / other for one, other in pairs],
        at_least=1,
        detail=f"{ours:.3g} and {theirs:.3g} million/s, {load.rows} rows of {load.tokens} tokens",
    )


def columns_of(codec: str, load: Load) -> Columns:
    """Rows as stage one leaves them."""
    random = np.random.default_rng(0)
    blobs = [CODECS[codec].encode(row_of(codec, random, load.tokens)) for _ in range(load.rows)]
    ids, values = zip(*blobs, strict=True)
    tails = None if codec == "sampled" else [np.full(load.tokens, -2, np.float32)] * load.rows
    return Columns(codec, ids, values, tails)


def on_the_device(columns: Columns, device: torch.device) -> Sequence[Tensor | None]:
    """What training does: ids, log-probabilities, counts and tails."""
    tokens = unpack(gather_tokens(columns.ids, columns.values, columns.tails, TEACHER_VOCAB), device)
    return tokens.ids_NK, tokens.logprobs_NK, tokens.counts_N, tokens.tail_N


def on_the_host(columns: Columns, device: torch.device) -> Sequence[Tensor | None]:
    """The same by numpy, and copied."""
    codec = CODECS[columns.codec]
    tops = [codec.decode(*blobs, TEACHER_VOCAB) for blobs in zip(columns.ids, columns.values, strict=True)]
    counts_N = np.concatenate([top.counts for top in tops]).astype(np.int32)
    kept_NK = np.arange(counts_N.max()) < counts_N[:, None]
    ids_NK = np.zeros(kept_NK.shape, np.int32)
    ids_NK[kept_NK] = np.concatenate([top.ids for top in tops])
    logprobs_NK = np.full(kept_NK.shape, -np.inf, np.float32)
    logprobs_NK[kept_NK] = np.concatenate([top.logprobs for top in tops])
    tail_N = None if columns.tails is None else np.concatenate(columns.tails)
    arrays = (ids_NK, logprobs_NK, counts_N, tail_N)
    return [None if one is None else torch.from_numpy(one).to(device) for one in arrays]
