"""What two processes learn to write with a global batch is what one learns."""

from pathlib import Path

import pytest

from schemas.cache import TeacherCache
from tests.process_groups import Start, equal

SMALL = (
    *("--batch-size", "5", "--epochs", "1"),
    "--limit-train",
    "21",
    "--lr",
    "1e-3",
    "--max-new-tokens",
    "4",
    "--max-length",
    "48",
)
HOW = {
    "armada+kd": ("--method", "armada+kd", "--manifold", "elementwise", "--hidden-dim", "16"),
    "seqkd, sharded": ("--method", "seqkd"),
    "kd, adapted": ("--method", "kd", "--lora-rank", "2", "--lora-dropout", "0", "--accumulate", "2"),
}


# How each is begun: in one process, then in so many, with these options more.
AS = {
    "armada+kd": (2,),
    "seqkd, sharded": (2, "--sharding", "full"),
    "kd, adapted": (2,),
}


@pytest.mark.parametrize("name", HOW)
def test_of_texts(
    start_group: Start, sums_cache: TeacherCache, writer_folder: Path, tmp_path: Path, name: str
) -> None:
    where, options = (sums_cache, writer_folder), (*SMALL, *HOW[name])
    count, *more = AS[name]
    alone = start_group(tmp_path / "alone", *where, *options, count=0)
    many = start_group(tmp_path / "many", *where, *options, *more, count=count)
    assert (alone.statuses, many.statuses) == ([0], [0] * count), (alone.lines, many.lines)
    equal(alone, many)


def test_processes_that_measured_different_numbers_of_batches_train_on(
    start_group: Start, sums_cache: TeacherCache, writer_folder: Path, tmp_path: Path
) -> None:
    # The rows that choose the checkpoint are one batch: the second process answers for none of them.
    options = (*SMALL, "--epochs", "2", "--method", "seqkd")
    runs = [
        start_group(tmp_path / sharding, sums_cache, writer_folder, *options, "--sharding", sharding)
        for sharding in ("none", "full")
    ]
    assert [run.statuses for run in runs] == [[0, 0], [0, 0]], [run.lines for run in runs]
    equal(*runs)
