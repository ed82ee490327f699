"""Many rows: what 100 million of them cost before the first is read, by simulation.

The cache has 100,000 shards of 1,000 rows, as cache-teacher makes them by default: real files, links to two,
and a manifest with a digest and statistics for each. Opening it is what `distill` does first: read and check
the manifest, and look for every file. The order of an epoch is then made in a process that has imported all
that a training has, with a row group a shard and lengths in a mapped file, as token files are; the first
1,000 batches are cut, and those that follow 90 % of the epoch. Its memory is what is anonymous, looked at
every millisecond: the pages of mapped files belong to the system, which drops them when it wants room. What a
run holds beside the order is the slope between two real caches, of all that Python and NumPy have asked for.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.measure import ROOT, Claim, claim_of, seconds_of
from benchmarks.reading import STUDENT, write_cache
from schemas.cache import open_cache
from schemas.manifest import MANIFEST_NAME, CacheManifest
from schemas.manifest_file import write_manifest
from schemas.shard import shard_name

Made = TypeVar("Made")
_ROWS, _FEW, _A_SHARD, _ROUNDS = 100_000_000, 1_000_000, 1_000, 5
_BATCHES = 1_000
# A file has 65,000 names at most.
_LINKS = 60_000
_GATHERED = (100_000, 500_000)


def run() -> list[Claim]:
    """Measure the claims, each in processes of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ARMADA_CACHE_DIR"] = str(folder / "own")
        opened, detail = _opening(folder / "many")
        peaks = [[_peak(folder, rows) for rows in (_FEW, _ROWS)] for _ in range(3)]
        return [
            claim_of(
                "seconds to open a cache of 100 million rows: its manifest read and checked, its files there",
                opened,
                at_most=1,
                detail=detail,
            ),
            claim_of(
                "memory of a process that makes an epoch's order and cuts batches of its beginning and its "
                "end, at 100 million rows against 1 million",
                [many / few for few, many in peaks],
                at_most=1.1,
                detail=f"{peaks[0][0] / 2**20:.0f} and {peaks[0][1] / 2**20:.0f} MiB",
            ),
            claim_of(
                "bytes of it a row",
                [(many - few) / (_ROWS - _FEW) for few, many in peaks],
                at_most=0.25,
                detail="a bit a row, and three numbers a row group",
            ),
            *_gathering(folder),
        ]


def _opening(folder: Path) -> tuple[list[float], str]:
    _write_links(folder)
    opened = [seconds_of(lambda: open_cache(folder, verify=False)) for _ in range(_ROUNDS)]
    manifest = open_cache(folder, verify=False).manifest
    megabytes = (folder / MANIFEST_NAME).stat().st_size / 1e6
    seconds = seconds_of(lambda: manifest.digest)
    return (
        opened,
        f"{len(manifest.files):,} shards, manifest of {megabytes:.0f} MB; its digest {seconds:.2f} s",
    )


def _write_links(folder: Path) -> None:
    """A cache whose shards are names of a few files."""
    small = write_cache(folder, _A_SHARD, 384, words=24)
    manifest, number = small.manifest, _ROWS // _A_SHARD
    first, files = manifest.files[0], []
    whole = (folder / first.name).read_bytes()
    for index in range(number):
        name = shard_name("train", index, number)
        kept = folder / shard_name("train", index - index % _LINKS, number)
        if index % _LINKS == 0:
            kept.write_bytes(whole)
        else:
            (folder / name).hardlink_to(kept)
        digest = hashlib.sha256(name.encode()).hexdigest()
        tokens = {"prompt_tokens": 26_000 + index % 997, "completion_tokens": 64_000 + index % 991}
        files.append(replace(first, name=name, sha256=digest, captured_mass=0.93 + index / 1e7, **tokens))
    request = manifest.request.model_copy(update={"splits": {"train": _ROWS}, "rows_per_shard": _A_SHARD})
    write_manifest(folder, CacheManifest(teacher=manifest.teacher, request=request, files=tuple(files)))


def _peak(folder: Path, rows: int) -> int:
    lengths = folder / f"{rows}.npy"
    if not lengths.exists():
        held, random = np.lib.format.open_memmap(lengths, "w+", np.int32, (rows,)), np.random.default_rng(0)
        for start in range(0, rows, _FEW):
            held[start : start + _FEW] = random.integers(5, 60, _FEW, np.int32)
        held.flush()
    return _in_new_process(f"peak_of_order({str(lengths)!r})")[0]


def peak_of_order(lengths: str) -> list[int]:
    """The most bytes of this process while it makes an order and cuts batches; an eighth is held out."""
    import distill.trainer  # noqa: F401 - what a training has imported
    from distill.order import Kept, Order

    lengths_R = np.asarray(np.load(lengths, mmap_mode="r"))
    rows, num_groups = len(lengths_R), len(lengths_R) // _A_SHARD

    def walk() -> Order:
        # As `Kept.of` makes it of a mask, which belongs to what a run gathers.
        kept = Kept(np.full(rows // 8, 0b11110111, np.uint8), np.full(num_groups, _A_SHARD * 7 // 8), rows)
        group_starts = np.arange(num_groups + 1, dtype=np.int64) * _A_SHARD
        order = Order(seed=42, batch_size=32, group_starts=group_starts, kept=kept, lengths_R=lengths_R)
        for start in (0, int(0.9 * order.num_batches(0, 0))):
            batches = chain.from_iterable(batches for _, batches in order.batches(0, 0, start))
            assert sum(1 for _ in islice(batches, _BATCHES)) == _BATCHES
        return order

    return [_highest(walk)[0]]


def _gathering(folder: Path) -> list[Claim]:
    found = []
    for rows in _GATHERED:
        write_cache(folder / str(rows), rows, 8, words=3)
        # The first makes the token files.
        _, memory = (_in_new_process(f"memory_of_gathering({str(folder / str(rows))!r})") for _ in range(2))
        found.append(memory)
    (few_held, few_peak), (many_held, many_peak) = found
    more = _GATHERED[1] - _GATHERED[0]
    return [
        claim_of("bytes a row that a training for classes holds", [(many_held - few_held) / more]),
        claim_of(
            "bytes a row that it needs at its highest until it holds them", [(many_peak - few_peak) / more]
        ),
    ]


def memory_of_gathering(cache: str) -> list[int]:
    """Bytes that Python and NumPy hold of a run's rows once they are gathered, and the most until then."""
    import torch

    from distill.config import resolve
    from distill.material import gather
    from distill.pretrained import load_tokenizer
    from schemas.tasks import find_task

    run = resolve({"task": "movie-sentiment", "student": str(STUDENT), "standardise": False}, "audio")
    opened, tokenizer = open_cache(Path(cache), verify=False), load_tokenizer(run.student)
    task, device = find_task(run.task), torch.device("cpu")
    tracemalloc.start()
    material = gather(run, opened, task, tokenizer, device)
    held = list(tracemalloc.get_traced_memory())
    assert material.num_rows["train"]
    return held


def _highest(work: Callable[[], Made]) -> tuple[int, Made]:
    """The most anonymous bytes of this process while it works, and what comes of it."""
    seen, done = [0], threading.Event()

    def look() -> None:
        while not done.is_set():
            seen[0] = max(seen[0], _of_status("RssAnon"))
            time.sleep(0.001)

    watch = threading.Thread(target=look)
    watch.start()
    made = work()
    done.set()
    watch.join()
    return max(seen[0], _of_status("RssAnon")), made


def _of_status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _in_new_process(call: str) -> list[int]:
    command = [sys.executable, "-c", f"from benchmarks import many_rows as m; print(m.{call})"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])
