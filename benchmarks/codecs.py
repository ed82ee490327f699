"""Log-probabilities on disk: bytes, fidelity and reading speed against DistillKit's published layout.

Bytes are those of a Parquet file, the tail's column counted. Fidelity is KL(target || teacher) in nats a
token, over the kept ids and one bucket for everything else: the target is what a student would be given, the
teacher its whole distribution. Speed is by the CPU time of the process, so that other work on the machine
does not count.

`python -m benchmarks.codecs` prints the curve that docs/decisions/0006-codecs.md shows.

Letters: T tokens, V vocabulary, K entries a token.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import distillkit_layout
from benchmarks.language_model import teacher_outputs
from benchmarks.measure import Claim, claim_of
from schemas.codec import CODECS
from schemas.shard import write_shard
from schemas.topk import TopK, captured_mass, draw, rescale, select_top

KS, PS = (8, 16, 32, 50, 64, 128), (0.95, 0.99, 0.999, 1.0)
NUM_DRAWS = 32
ROUNDS = 7
_SCHEMA = pa.schema(
    [("topk_ids", pa.binary()), ("topk_logprobs", pa.binary()), ("tail_logprob", pa.list_(pa.float32()))]
)


@dataclass(frozen=True, slots=True)
class Point:
    """One setting: bytes a token in the file, KL in nats a token, kept mass, entries a token."""

    num_bytes: float
    kl: float
    mass: float
    entries: float


def packed_point(name: str, k: int, p: float, folder: Path) -> Point:
    """What a codec makes of the most probable entries."""
    whole_TV, rows = teacher_outputs()
    selected = [select_top(whole_TV[row], k, p) for row in rows]
    size = _file_bytes(
        folder / f"{name}.parquet", name, [top for top, _ in selected], [t for _, t in selected]
    )
    back = [CODECS[name].decode(*CODECS[name].encode(top), top.vocab_size) for top, _ in selected]
    tail_T = np.concatenate([tail for _, tail in selected])
    top = joined(back)
    kl = _kl(rescale(top, tail_T), tail_T, whole_TV)
    return Point(size, kl, captured_mass(tail_T) or 0, len(top.ids) / len(whole_TV))


def sampled_point(num_draws: int, folder: Path) -> Point:
    """What `sampled` makes of as many draws; KL says little of one unbiased sample, so it is left out."""
    whole_TV, rows = teacher_outputs()
    tops = [draw(whole_TV[row], num_draws, f"row-{i}") for i, row in enumerate(rows)]
    size = _file_bytes(folder / "sampled.parquet", "sampled", tops, [None] * len(tops))
    return Point(size, np.nan, np.nan, sum(len(top.ids) for top in tops) / len(whole_TV))


def peer_point(k: int, folder: Path) -> tuple[Point, float]:
    """DistillKit's layout, its target as its README configures it: no mass outside the kept ids.

    Beside it the KL of a target that puts what the entries lack to one into a tail, as a reader could.
    """
    whole_TV, rows = teacher_outputs()
    top, tail_T = select_top(whole_TV, k)
    ids_TK, logprobs_TK = top.ids.reshape(-1, k), top.logprobs.reshape(-1, k)
    logprobs, ids, read_TK = distillkit_layout.encode(ids_TK, logprobs_TK, top.vocab_size)
    size = _column_bytes(distillkit_layout.write(folder / "peer.parquet", logprobs, ids, rows)) / len(
        whole_TV
    )
    read = TopK(top.ids, read_TK.reshape(-1), top.counts, top.vocab_size)
    nothing_T = np.full(len(whole_TV), -np.inf)
    rest_T = np.log(np.maximum(1 - np.exp(read_TK.astype(np.float64)).sum(axis=1), 1e-12))
    point = Point(size, _kl(rescale(read, nothing_T), nothing_T, whole_TV), captured_mass(tail_T) or 0, k)
    return point, _kl(rescale(read, rest_T), rest_T, whole_TV)


def _file_bytes(
    path: Path, name: str, tops: Sequence[TopK], tails: Sequence[NDArray[np.float32] | None]
) -> float:
    blobs = [CODECS[name].encode(top) for top in tops]
    columns = [pa.array(column) for column in zip(*blobs, strict=True)]
    table = pa.table([*columns, pa.array(tails, pa.list_(pa.float32()))], schema=_SCHEMA)
    write_shard(path, [table], _SCHEMA)
    return _column_bytes(pq.read_metadata(path)) / sum(top.num_tokens for top in tops)


def _column_bytes(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return sum(group.column(i).total_compressed_size for group in groups for i in range(group.num_columns))


def joined(tops: Sequence[TopK]) -> TopK:
    """Rows as one."""
    ids, logprobs, counts = (
        np.concatenate([getattr(t, n) for t in tops]) for n in ("ids", "logprobs", "counts")
    )
    return TopK(ids, logprobs, counts, tops[0].vocab_size)


def _kl(target: TopK, tail_T: NDArray[np.floating], whole_TV: NDArray[np.float32]) -> float:
    tokens_N = np.repeat(np.arange(len(whole_TV)), target.counts)
    total_T = np.exp(whole_TV, dtype=np.float64).sum(axis=1)  # one, to float32
    true_N = whole_TV[tokens_N, target.ids] - np.log(total_T)[tokens_N]
    kept_T = np.bincount(tokens_N, np.exp(true_N), len(whole_TV))
    true_tail_T = np.log(np.maximum(1 - kept_T, 1e-12))
    share_N, share_T = np.exp(target.logprobs.astype(np.float64)), np.exp(tail_T.astype(np.float64))
    rest_T = np.where(share_T > 0, share_T * (np.where(share_T > 0, tail_T, 0) - true_tail_T), 0)
    return float(((share_N * (target.logprobs - true_N)).sum() + rest_T.sum()) / len(whole_TV))


def decoding_speed(num_tokens: int, vocab_size: int, k: int = 50) -> list[float]:
    """Million tokens a second that `packed` decodes from one blob, in rounds."""
    top, _ = select_top(teacher_outputs()[0][:1024], k)
    ids = np.resize(top.ids, num_tokens * k)
    logprobs = np.resize(top.logprobs, num_tokens * k)
    blobs = CODECS["packed"].encode(TopK(ids, logprobs, np.full(num_tokens, k, np.uint32), vocab_size))
    return _rates(lambda: CODECS["packed"].decode(*blobs, vocab_size), num_tokens)


def reading_speeds(folder: Path, k: int = 50, copies: int = 16) -> tuple[list[float], list[float]]:
    """Million tokens a second through Parquet, rows of 1,024 tokens: ours decoded, the peer's flat bytes."""
    whole_TV, _ = teacher_outputs()
    top, tail_T = select_top(whole_TV[:1024], k)
    _file_bytes(folder / "ours.parquet", "packed", [top] * copies, [tail_T] * copies)
    logprobs, ids, _ = distillkit_layout.encode(
        top.ids.reshape(-1, k), top.logprobs.reshape(-1, k), top.vocab_size
    )
    distillkit_layout.write(folder / "peer.parquet", logprobs, ids, [slice(None)] * copies)

    def ours() -> None:
        table = pq.read_table(folder / "ours.parquet", use_threads=False)
        columns = (table.column(name).to_pylist() for name in ("topk_ids", "topk_logprobs"))
        for ids, logprobs in zip(*columns, strict=True):
            CODECS["packed"].decode(ids, logprobs, top.vocab_size)

    num_tokens = copies * len(tail_T)
    return _rates(ours, num_tokens), _rates(
        lambda: distillkit_layout.read(folder / "peer.parquet"), num_tokens
    )


def _rates(work: Callable[[], object], num_tokens: int) -> list[float]:
    repeats = max(1, 100_000 // num_tokens)
    rates: list[float] = []
    for _ in range(ROUNDS + 1):
        started = time.process_time()
        for _ in range(repeats):
            work()
        rates.append(repeats * num_tokens / (time.process_time() - started) / 1e6)
    return rates[1:]


def run() -> list[Claim]:
    """Measure the claims of the issue, each k against the peer at that k."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ours = {k: packed_point("packed", k, 1.0, folder) for k in KS}
        peer = {k: peer_point(k, folder) for k in KS}
        draws = sampled_point(NUM_DRAWS, folder)
        read, peer_read = reading_speeds(folder)
    sizes = {k: ours[k].num_bytes / peer[k][0].num_bytes for k in KS}
    losses = {k: ours[k].kl / peer[k][0].kl for k in KS}
    worst_size, worst_loss = max(sizes, key=lambda k: sizes[k]), max(losses, key=lambda k: losses[k])
    return [
        claim_of(
            f"bytes of `packed` by those of DistillKit's layout, worst k of {KS}: {worst_size}",
            [sizes[worst_size]],
            at_most=1,
            detail=_pairs((k, ours[k].num_bytes, peer[k][0].num_bytes) for k in KS),
        ),
        claim_of(
            f"KL of `packed` by that of DistillKit's layout, worst k: {worst_loss}",
            [losses[worst_loss]],
            at_most=1,
            detail=_pairs((k, ours[k].kl, peer[k][0].kl) for k in KS),
        ),
        claim_of(
            f"bytes a token of `sampled`, {NUM_DRAWS} draws",
            [draws.num_bytes],
            at_most=40,
            detail=f"{draws.entries:.1f} ids a token",
        ),
        *_speed_claims(),
        claim_of(
            "tokens a second read through Parquet and decoded, by DistillKit's layout read to flat bytes",
            [a / b for a, b in zip(read, peer_read, strict=True)],
            at_least=1,
            detail=f"{np.median(read):.1f} and {np.median(peer_read):.1f} million/s, k = 50, one thread",
        ),
    ]


def _speed_claims() -> list[Claim]:
    detail = "rows of 32 tokens {:.1f}, of 128 {:.1f}, of 8,192 {:.1f}"
    sizes = {"16-bit": 49_152, "18-bit": 151_936}
    return [
        claim_of(
            f"million tokens a second that `packed` decodes, one thread, k = 50, rows of 1,024, {bits} ids",
            decoding_speed(1024, vocab_size),
            at_least=9,
            detail=detail.format(*(np.median(decoding_speed(n, vocab_size)) for n in (32, 128, 8192))),
        )
        for bits, vocab_size in sizes.items()
    ]


def _pairs(triples: Iterable[tuple[int, float, float]]) -> str:
    return ", ".join(f"k {k}: {ours:.3g} and {peer:.3g}" for k, ours, peer in triples)


def print_curve() -> None:
    """Print the tables of docs/decisions/0006-codecs.md."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        print(_table_row("k", "kept mass", "`packed`", "`half`", "DistillKit", "the same with a tail"))
        for k in KS:
            packed, half = (packed_point(name, k, 1.0, folder) for name in ("packed", "half"))
            peer, with_tail = peer_point(k, folder)
            print(_table_row(k, f"{packed.mass:.3f}", *map(_cell, (packed, half, peer)), f"{with_tail:.1e}"))
        print(_table_row("k", *(f"p = {p:g}" for p in PS)))
        for k in KS:
            points = [packed_point("packed", k, p, folder) for p in PS]
            print(_table_row(k, *(f"{x.entries:.0f} ids, {_cell(x)}, {x.mass:.3f}" for x in points)))
        print(_table_row("draws", "ids", "bytes"))
        for num_draws in (12, 25, 32, 50):
            point = sampled_point(num_draws, folder)
            print(_table_row(num_draws, f"{point.entries:.1f}", f"{point.num_bytes:.1f}"))


def _cell(point: Point) -> str:
    return f"{point.num_bytes:.1f} B, {point.kl:.1e}"


def _table_row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    print_curve()
