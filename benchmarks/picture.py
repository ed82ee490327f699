"""The picture of docs/benchmarks.md: ours beside each peer, one row each."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.measure import Claim

# Okabe and Ito, Color Universal Design, 2008: told apart with every kind of colour vision.
_HOLDS, _FAILS = "#0072B2", "#D55E00"


class Row(NamedTuple):
    """A claim to be drawn: its benchmark, how its words begin, and what it is called in the picture."""

    benchmark: str
    begins: str
    label: str


ROWS = (
    Row("caching", "cache-teacher against the same", "caching: time beside the speech teacher alone"),
    Row("serving", "cache-teacher against a bare", "caching: time beside a bare client of a vLLM server"),
    Row(
        "service",
        "requests a second, cache-teacher by a bare client, 32",
        "caching: requests/s beside a bare client",
    ),
    Row("diffusion", "cache-teacher against the bare", "caching: time beside the bare diffusion pipeline"),
    Row("codecs", "bytes of `packed`", "log-probabilities: bytes beside DistillKit's layout"),
    Row(
        "codecs",
        "tokens a second read through",
        "log-probabilities: tokens/s read beside DistillKit's layout",
    ),
    Row("reading", "rows a second of reading ids", "reading: rows/s beside a bare scan in order"),
    Row("reading", "rows a second of that reading", "reading: rows/s beside datasets, shuffled"),
    Row(
        "readers",
        "rows a second of reading ids, labels, texts and teacher arrays, by those of mosaicml-streaming, one",
        "reading: rows/s beside mosaicml-streaming, shuffled",
    ),
    Row(
        "readers",
        "rows a second of reading ids, labels, texts and teacher arrays, by those of litdata, one",
        "reading: rows/s beside litdata, shuffled",
    ),
    Row(
        "readers",
        "rows a second of reading ids, labels, texts and teacher arrays, by those of litdata, two",
        "reading in two processes: rows/s beside litdata",
    ),
    Row("ray_workers", "time of two workers by that of one, from", "two Ray workers: speed beside one"),
    Row(
        "training", "fp32: examples a second, ours", "encoder fp32: examples/s beside a bare loop in buckets"
    ),
    Row(
        "training", "bf16: examples a second, ours", "encoder bf16: examples/s beside a bare loop in buckets"
    ),
    Row(
        "training", "fp32: examples a second against", "encoder fp32: examples/s beside a loop padded to 128"
    ),
    Row(
        "training",
        "bf16: examples a second against",
        "encoder bf16: examples/s beside an fp32 loop padded to 128",
    ),
    Row(
        "orthogonal",
        "a step's CPU time, torch's parametrisation by retraction, 384 to 768",
        "orthogonal 384 to 768: speed beside torch's parametrisation",
    ),
    Row(
        "token_loss",
        "time of cross-entropy and KD in parts, by plain, float32",
        "KD loss: time beside plain cross-entropy",
    ),
    Row(
        "token_loss",
        "peak memory of cross-entropy and KD in parts, by naive, float32",
        "KD loss: memory beside KL over the whole vocabulary",
    ),
    Row(
        "distillation",
        "time of a step with the live teacher, by a KD step from the cache, student trained whole",
        "KD step, student whole: speed beside the live teacher",
    ),
    Row(
        "distillation",
        "time of a step with the live teacher, by a KD step from the cache, student in",
        "KD step, student in an adapter: speed beside the live teacher",
    ),
    Row(
        "whole_runs",
        "an epoch with the live teacher, by one from the cache, student trained",
        "KD epoch, student whole: speed beside the live teacher",
    ),
    Row(
        "whole_runs",
        "an epoch with the live teacher, by one from the cache, student in",
        "KD epoch, student in an adapter: speed beside the live teacher",
    ),
    Row("peers", "CPU time of a cross-entropy", "LoRA step: CPU time beside TRL's SFTTrainer"),
    Row("peers", "peak memory of a cross-entropy", "LoRA step: memory beside TRL's SFTTrainer"),
    Row("peers", "CPU time of a KD", "KD step: CPU time beside TRL's GKDTrainer"),
    Row("peers", "peak memory of a KD", "KD step: memory beside TRL's GKDTrainer"),
)


def draw(claims: Mapping[str, Sequence[Claim]]) -> bytes:
    """The picture as PNG; the same claims give the same bytes. A row that was not measured says so."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 1 + 0.26 * len(ROWS)), dpi=110)
    axes = figure.subplots()
    for place, row in enumerate(ROWS):
        claim = claim_of_row(row, claims)
        if claim is None:
            axes.text(1, place, " not measured", va="center", color="#767676", fontsize=8)
        else:
            _draw_row(axes, place, claim)
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.5, 160)
    ticks = (0.5, 1, 2, 4, 8, 16, 32, 64, 128)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(range(len(ROWS)), [row.label for row in ROWS], fontsize=8)
    axes.set_ylim(len(ROWS) - 0.5, -0.5)
    axes.axvline(1, color="#767676", linewidth=0.8)
    axes.set_xlabel("times better than the peer (circle: bound kept; cross: not; tick: bound)")
    figure.tight_layout()
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def claim_of_row(row: Row, claims: Mapping[str, Sequence[Claim]]) -> Claim | None:
    """The claim that a row draws; None where it was not measured."""
    found = (claim for claim in claims.get(row.benchmark, ()) if claim.claim.startswith(row.begins))
    return next(found, None)


def _draw_row(axes: Any, place: int, claim: Claim) -> None:
    # Less is better where the bound is from above: turned round, so that right is always better.
    turned = claim.at_most is not None
    low, median, high = ((1 / one if turned else one) for one in (claim.low, claim.median, claim.high))
    colour = _HOLDS if claim.holds else _FAILS
    axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
    axes.plot(median, place, "o" if claim.holds else "X", color=colour)
    for _, bound in claim.bounds:
        axes.plot(1 / bound if turned else bound, place, "|", color="black", markersize=9)
