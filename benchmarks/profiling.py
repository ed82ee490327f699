"""Where the time goes, in tables for docs/performance.md: `python -m benchmarks.profiling WHAT [SHARDS]`.

WHAT is `speech`, stage one of the demo; `training`, one of its three students from the command line to the
files; `steps`, the operations of that student's steps beside what the machine can do. The last two read the
demo's cache, or SHARDS.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import ROOT, machine
from benchmarks.stacks import OTHER, Parts, main_threads, of, sampled, shares, without
from distill.environment import settle
from schemas.errors import CacheError

if TYPE_CHECKING:
    from benchmarks.step_profile import Profile

SHARDS = ROOT / "data/shards/movie-sentiment/speech-hibari-whisper-tiny.en"
SENTENCES = 640
_BIN = Path(sys.executable).parent
_IMPORTS = ("importlib._bootstrap",)
# A thread without a frame: the interpreter starts, or takes itself down.
_BARE = ("MainThread\n",)
WORKER: Parts = {
    "starting and ending": (*_IMPORTS, *_BARE, "_load (teacher_cache/teachers/speech"),
    "waiting for texts": ("Queue.get (multiprocessing",),
    "words to phonemes (hibari)": ("Hibari.phonemize",),
    "network of the voice (onnxruntime)": ("Session.run (onnxruntime",),
    "spectra to sound (hibari: numpy, scipy)": ("(hibari/dsp.py",),
    "24 to 16 kHz (scipy)": ("_Models._speak",),
    "log-mel (transformers: torch)": ("WhisperFeatureExtractor",),
    "Whisper's encoder (CTranslate2)": ("_Models.answer",),
}
_WAITING = ("(selectors.py", "Condition.wait", "_worker (concurrent/futures/thread.py:81", "join (threading")
LOOP: Parts = {
    "starting and ending": (*_IMPORTS, *_BARE),
    "digests of the models": ("SpeechTeacher.identity",),
    "reading the sentences": ("make_plan (",),
    "journal, fsync included": ("CacheWriter.record",),
    "shards, statistics, manifest": ("CacheWriter.seal",),
}
TRAINING: Parts = {
    "starting and ending": (*_IMPORTS, *_BARE),
    "opening cache and student, digests": ("open_cache (", "digest_of_student ("),
    "setting up: student, tokens, optimisers": ("_set_up (distill",),
    "choosing the checkpoint": ("Training._select",),
    "measuring the finished student": ("_report (distill",),
    "reading batches": ("Stream.batches", "in_order (distill"),
    "student: forward": ("Student.forward",),
    "backward": ("Accelerator.backward",),
    "clipping": ("Tower._clip",),
    "AdamW": ("AdamW.step", "Optimizer.step", "profile_hook_step"),
    "orthogonal projections": ("retract_all",),
    "the rest of a step: aligner, losses": ("Training._step",),
    "checkpoints": ("(distill/keeping.py", "(distill/checkpoint.py", "(distill/state.py"),
    "losses to numbers and files": ("MetricLog.write", "_numbers (distill"),
    "curves, card, run.json": ("draw_curves (", "write_card (", "write_result ("),
}


def speech() -> None:
    """Profile the caching of some sentences."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cache"
        request = [
            "--source",
            ROOT / "data/tasks/movie-reviews",
            "--limit",
            SENTENCES,
            "--out",
            out,
            "--quiet",
        ]
        command = [_BIN / "cache-teacher", "--model", "speech:hibari+whisper-tiny.en", *request]
        counts, seconds = _timed(command)
        timings = json.loads((out / "journal" / "timings.jsonl").read_text())
        size = sum(file.stat().st_size for file in out.rglob("*.parquet"))
    print(
        f"\n{SENTENCES} sentences in {seconds:.1f} s; the loop waited for its teacher for "
        f"{timings['teacher_seconds'] / timings['seconds']:.1%} of its own; {size / 1e3:.0f} kB of shards\n"
    )
    _print("a process of the teacher", shares(main_threads(of(counts, "spawn_main")), WORKER))
    own = Counter({stack: count for stack, count in counts.items() if "multiprocessing." not in stack})
    first = main_threads(own)
    busy = without(first + of(own, "asyncio_"), *_WAITING)
    _print("the process of the loop, which else waits", shares(busy, LOOP, first.total()))
    _print_rates()


def _print_rates() -> None:
    from benchmarks.speech_rates import rates

    found = rates()
    most, *_ = (operations / seconds for operations, seconds in found.values())
    print("| one thread | operations | ms | rate | of the first |\n|---|---|---|---|---|")
    for name, (operations, seconds) in found.items():
        rate = operations / seconds
        print(
            f"| {name} | {operations / 1e9:.1f} G | {1000 * seconds:.1f} | {rate / 1e9:.0f} G/s | "
            f"{rate / most:.0%} |"
        )
    print()


def training(shards: Path) -> None:
    """Profile one student, distilled, from the command line to its files."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        counts, seconds = _timed([_BIN / "distill", "--shards", shards, "--out", out, "--quiet"])
        result = json.loads((out / "run.json").read_text())
    rows, epochs = result["num_rows"]["train"], result["config"]["epochs"]
    print(
        f"\n{rows} rows, {epochs} epochs, {result['device']}, in {seconds:.1f} s; peak memory "
        f"{result['peak_memory_bytes']['process'] / 1e6:.0f} MB\n"
    )
    _print("one student", shares(main_threads(counts), TRAINING))


def steps(shards: Path) -> None:
    """Profile the steps of an undistilled student and of a distilled one, beside what the machine can do."""
    settle()
    import torch

    from benchmarks.roofs import copy_rate, disk_rate, matrix_rate
    from benchmarks.step_profile import profiled

    found = {method: profiled(shards, method) for method in ("undistilled", "armada")}
    products, memory = matrix_rate(found["armada"].dtype), copy_rate()
    print(
        f"\n{torch.get_num_threads()} threads: products of matrices {products / 1e9:.0f} GFLOP/s in "
        f"{found['armada'].dtype}, {matrix_rate(torch.float32) / 1e9:.0f} in torch.float32; a copy "
        f"{memory / 1e9:.1f} GB/s; the disk {disk_rate(shards) / 1e6:.0f} MB/s, fsync included\n"
    )
    for method, one in found.items():
        _print_steps(method, one, products, memory)


def _print_steps(method: str, found: "Profile", products: float, memory: float) -> None:
    from benchmarks.step_profile import ADAMW, NORM, PRODUCTS, STEPS

    # A parameter, its gradient and both moments are read, all but the gradient written; float32.
    moved = {ADAMW: 28 * found.parameters * STEPS, NORM: 4 * found.parameters * STEPS}
    print(f"| {method}: {STEPS} steps, {found.rows} rows | share | ms a step | rate | of the machine's |")
    print("|---|---|---|---|---|")
    for name, seconds in found.parts.items():
        rate = of_roof = ""
        if name == PRODUCTS:
            rate = f"{found.operations / seconds / 1e9:.0f} GFLOP/s"
            of_roof = f"{found.operations / seconds / products:.0%}"
        elif name in moved:
            rate = f"{moved[name] / seconds / 1e9:.1f} GB/s"
            of_roof = f"{moved[name] / seconds / memory:.0%}"
        share, each = seconds / found.seconds, 1000 * seconds / STEPS
        print(f"| {name} | {share:.1%} | {each:.1f} | {rate} | {of_roof} |")
    least = found.operations / products + sum(moved.values()) / memory
    print(
        f"\nA step took {1000 * found.seconds / STEPS:.0f} ms under the profiler, "
        f"{found.rows / found.seconds:.0f} rows/s. Its products at the machine's rate and AdamW's "
        f"bytes at a copy's would take {1000 * least / STEPS:.0f} ms, {least / found.seconds:.0%} of it.\n"
    )


def _timed(command: Sequence[object]) -> tuple[Counter[str], float]:
    started = time.perf_counter()
    return sampled(command), time.perf_counter() - started


def _print(title: str, found: dict[str, float]) -> None:
    print(f"| {title} | share |\n|---|---|")
    for name, share in found.items():
        if share >= 0.0005 or name == OTHER:
            print(f"| {name} | {share:.1%} |")
    print()


_OF_A_CACHE = {"training": training, "steps": steps}


def main(what: str = "", shards: str = "") -> None:
    """Print the tables of one profile."""
    folder = Path(shards or SHARDS)
    if what in _OF_A_CACHE and not (folder / "manifest.json").exists():
        raise CacheError(f"{folder} is not there; run make demo first, or name another cache")
    print(machine())
    if what == "speech":
        speech()
    elif what in _OF_A_CACHE:
        _OF_A_CACHE[what](folder)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
