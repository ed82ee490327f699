"""A node's bytes: what the processes of a machine read from its disk, and decode, for one training.

A cache of 24,000 rows of 4 KB each, whose files were dropped from the page cache before every run: what a
process then reads from the disk is told by Linux (`read_bytes` of /proc/self/io), less what the same run
reads where the files are in memory. Decoded is what is taken out of Parquet: the bytes on disk of every
column chunk that a process asked for. The training reads the cache as all do: its digests first, then texts
and labels, then the representations, once for the aligner and once for the student, which is tiny.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Claim, claim_of
from benchmarks.reading import STUDENT, write_cache
from schemas.cache import TeacherCache

_ROWS, _WIDTH, _ROUNDS = 24_000, 2_048, 3
_SIZES = ("--batch-size", "128", "--hidden-dim", "64", "--manifold-dim", "32", "--max-length", "32")
_OPTIONS = (*_SIZES, "--epochs", "1", "--raw", "--quiet")


def run() -> list[Claim]:
    """Measure the claims."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = write_cache(folder / "cache", _ROWS, _WIDTH, words=4)
        _write_student(folder / "student")
        size = sum(file.bytes for file in cache.manifest.files)
        rounds = [{count: _measured(folder, cache, count) for count in (1, 2)} for _ in range(_ROUNDS)]
    megabytes = f"a cache of {size / 1e6:.0f} MB"
    return [
        *(
            claim_of(
                f"bytes from the disk for a training by {count} process{'es' * (count > 1)}, by the cache's",
                [one[count]["disk"] / size for one in rounds],
                at_most=1.1,
                # A meter that sees nothing must not pass.
                at_least=0.9,
                detail=megabytes,
            )
            for count in (1, 2)
        ),
        claim_of(
            "bytes decoded by two processes together, by those of one",
            [one[2]["decoded"] / one[1]["decoded"] for one in rounds],
            detail=f"{rounds[0][1]['decoded'] / 1e6:.0f} MB by one, in two passes",
        ),
    ]


def _write_student(folder: Path) -> None:
    """A BERT that takes no time, with a real tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _measured(folder: Path, cache: TeacherCache, count: int) -> dict[str, int]:
    """Bytes from the disk and bytes decoded, of all processes of one training."""
    sums = dict[str, list[int]]()
    for state in ("cold", "warm"):
        for path in cache.folder.iterdir():
            with path.open("rb") as file:
                if state == "cold":
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                else:
                    file.read()
        told = _told(folder, cache, count)
        sums[state] = [sum(one[name] for one in told) for name in ("disk", "decoded")]
    return {"disk": sums["cold"][0] - sums["warm"][0], "decoded": sums["cold"][1]}


def _told(folder: Path, cache: TeacherCache, count: int) -> list[dict[str, int]]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out = Path(name)
        where = [
            "--shards",
            str(cache.folder),
            "--student",
            str(folder / "student"),
            "--out",
            str(out / "run"),
        ]
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        command = [sys.executable, *launcher, "-m", "benchmarks.node_bytes", *where, *_OPTIONS]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "ARMADA_CACHE_DIR": str(out / "own"),
            "NODE_BYTES": name,
        }
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
        return [json.loads(path.read_text()) for path in out.glob("told-*.json")]


def _train_and_tell() -> None:
    """One process of a training: the command, its reading counted."""
    import pyarrow.parquet as pq

    from distill import split
    from distill.cli import main

    read, fill, decoded = pq.ParquetFile.read_row_group, split.fill, 0

    def counted(shard: Any, number: int, columns: list[str]) -> Any:
        nonlocal decoded
        group = shard.metadata.row_group(number)
        chunks = [group.column(index) for index in range(group.num_columns)]
        asked = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in columns]
        decoded += sum(chunk.total_compressed_size for chunk in asked)
        return read(shard, number, columns=columns)

    def filled(values: Any, file: Any, chunk: Any, **options: bool) -> bool:
        nonlocal decoded
        decoded += chunk.total_compressed_size
        return fill(values, file, chunk, **options)

    setattr(pq.ParquetFile, "read_row_group", counted)  # noqa: B010 - its stub forbids it otherwise
    split.fill = filled
    try:
        main()
    finally:
        lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        told = {"disk": int(lines["read_bytes"]), "decoded": decoded}
        Path(os.environ["NODE_BYTES"], f"told-{os.environ['RANK']}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    _train_and_tell()
