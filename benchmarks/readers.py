"""Readers: rows a second of our reading, by those of mosaicml-streaming and of litdata, on the same rows.

32,000 rows with an id, a label, 24 words and 384 float16 values, in batches of 32 of a shuffled order. Each
way of each round runs in processes of its own (benchmarks/reader.py), ours in `.venv`, the peers in
`.venv-readers`: an epoch is checked, to have given every row once, and those after it are counted. A process
has one core and one thread. Ours gives what the peers give: ids and texts as lists of str, labels and values
as tensors. As training reads, it gives views of the token file, which is made once, for ids and texts.

The peers have the quickest settings that were found. mosaicml-streaming: MDS of `str`, `int` and
`ndarray:float16:384`. litdata: `optimize` on str, int and numpy's array (it decodes a tensor more slowly), in
as many chunks as leave none to be shared by two processes. Both: not compressed and shuffled as they do by
default, in their own loader, which stacks a batch in numpy (torch's own way takes longer), without worker
processes, since to hand a batch over takes longer than to read it. Our shards are compressed by zstd. Two
processes are two of torchrun's, each with its share of the rows.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import ROOT, Claim, claim_of
from benchmarks.reading import write_cache
from schemas.cache import TeacherCache
from schemas.rows import representations

_PYTHON = ROOT / ".venv-readers/bin/python"
_ROUNDS, _ROWS, _WIDTH = 3, 32_000, 384
_PEERS = ("mosaicml-streaming", "litdata")
_OURS = {
    "ours": "reading ids, labels, texts and teacher arrays",
    "training": "reading as training does, views of the token file in place of ids and texts",
}
_COUNTS = {1: "one process", 2: "two processes"}
Round = dict[tuple[str, int], float]


def run() -> list[Claim]:
    """Measure where the peers are; say in one line where they are not."""
    if not _PYTHON.exists():
        print("readers: no .venv-readers, so nothing is measured; run make readers-env first")
        sys.exit(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = _write(folder)
        rounds = [_round(folder) for _ in range(_ROUNDS)]
    return [
        _claim(rounds, megabytes, way, count, peer) for count in _COUNTS for way in _OURS for peer in _PEERS
    ]


def _write(folder: Path) -> dict[str, float]:
    """The same rows in every format; how many MB each takes."""
    cache = write_cache(folder / "cache", _ROWS, _WIDTH, words=24)
    _write_arrays(cache, folder / "rows.npz")
    for peer in _PEERS:
        _started("write", peer, folder, 1)
    places = {"ours": "cache/train-*", **{peer: f"{peer}/*" for peer in _PEERS}}
    return {
        way: sum(file.stat().st_size for file in folder.glob(place)) / 1e6 for way, place in places.items()
    }


def _write_arrays(cache: TeacherCache, path: Path) -> None:
    names = ["example_id", "class_ids", "prompt", "teacher_repr"]
    files = [cache.folder / file.name for file in cache.manifest.files_of("train")]
    table = pa.concat_tables(pq.read_table(file, columns=names) for file in files)
    np.savez(
        path,
        id=np.array(table["example_id"].to_pylist()),
        label=np.array([label for (label,) in table["class_ids"].to_pylist()]),
        text=np.array(table["prompt"].to_pylist()),
        values=representations(table["teacher_repr"])[0],
    )


def _round(folder: Path) -> Round:
    """Rows a second of every way, with every number of processes."""
    ways = (*_OURS, *_PEERS)
    told = {(way, count): _told(way, folder, count) for count in _COUNTS for way in ways}
    assert len({sums["arrays"] for sums in told.values()}) == 1, told
    assert len({sums["texts"] for (way, _), sums in told.items() if way != "training"}) == 1, told
    return {key: sums["rows"] / sums["seconds"] for key, sums in told.items()}


def _told(way: str, folder: Path, count: int) -> dict[str, float]:
    """What the processes of a way told together; they end an epoch together."""
    each = [json.loads(line) for line in _started("read", way, folder, count) if line.startswith("{")]
    assert len(each) == count, each
    sums = {name: sum(one[name] for one in each) for name in ("rows", "arrays", "texts")}
    return {**sums, "seconds": max(one["seconds"] for one in each)}


def _started(act: str, way: str, folder: Path, count: int) -> list[str]:
    """The lines that the processes of a way printed."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    python = str(_PYTHON if way in _PEERS else sys.executable)
    command = [python, *(torchrun if count > 1 else []), "-m", "benchmarks.reader", act, way, str(folder)]
    own: dict[str, Any] = {"ARMADA_CACHE_DIR": str(folder / "own"), "TMPDIR": str(folder)}
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "LITDATA_DISABLE_VERSION_CHECK": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | own | quiet, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"readers: {way} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()


def _claim(rounds: list[Round], megabytes: dict[str, float], way: str, count: int, peer: str) -> Claim:
    own, other = ([one[name, count] for one in rounds] for name in (way, peer))
    return claim_of(
        f"rows a second of {_OURS[way]}, by those of {peer}, {_COUNTS[count]}",
        [mine / theirs for mine, theirs in zip(own, other, strict=True)],
        at_least=5,
        detail=f"{statistics.median(own):,.0f} rows/s against {statistics.median(other):,.0f}, "
        f"{megabytes['ours']:.0f} MB on disk against {megabytes[peer]:.0f}",
    )
