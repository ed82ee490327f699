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
    "kd, adapted": ("--method", "kd", "--lora-rank", "2", "--lora-dropout", "0", "--accumulate", "2"),
}


@pytest.mark.parametrize("name", HOW)
def test_of_texts(
    start_group: Start, sums_cache: TeacherCache, writer_folder: Path, tmp_path: Path, name: str
) -> None:
    where, options = (sums_cache, writer_folder), (*SMALL, *HOW[name])
    runs = [start_group(tmp_path / str(count), *where, *options, count=count) for count in (0, 2)]
    assert [run.statuses for run in runs] == [[0], [0, 0]], [run.lines for run in runs]
    equal(*runs)
