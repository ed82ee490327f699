"""However one of several processes ends, all end, and one line says why."""

from pathlib import Path

from schemas.cache import TeacherCache
from tests.process_groups import Start, stop_at

SMALL = ("--batch-size", "8", "--max-length", "32", "--hidden-dim", "16", "--lr", "1e-2", "--epochs", "1")
# A window that only the last process cannot read.
DAMAGED = """
from schemas.errors import ShardError
batch, done = shards.Stream._batch, 0
def damaged(self, *arguments):
    global done
    done += 1
    if rank == 1 and done == 4:
        raise ShardError("train-00001-of-00003.parquet is damaged")
    return batch(self, *arguments)
shards.Stream._batch = damaged
"""
KILLED = DAMAGED.replace(
    'raise ShardError("train-00001-of-00003.parquet is damaged")', "os.kill(os.getpid(), 9)"
)
BUG = DAMAGED.replace('raise ShardError("train-00001-of-00003.parquet is damaged")', "1 / 0").replace(
    "rank == 1 and ", ""
)


def test_an_error_of_one_process_is_one_line(
    start_group: Start, cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> None:
    done = start_group(tmp_path / "run", cache, tiny_student, *SMALL, sabotage=DAMAGED)
    assert done.lines == ["distill: train-00001-of-00003.parquet is damaged"]
    assert done.statuses == [1, 1]
    assert not (tmp_path / "run" / "run.json").exists()
    # And the same command goes on, in one process too.
    assert start_group(tmp_path / "run", cache, tiny_student, *SMALL, count=0).statuses == [0]


def test_a_killed_process_ends_the_others_with_one_line(
    start_group: Start, cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> None:
    done = start_group(tmp_path / "run", cache, tiny_student, *SMALL, sabotage=KILLED)
    assert done.statuses == [1, -9]
    assert len(done.lines) == 1
    assert "another process of this run has ended; run the same command again" in done.lines[0]


def test_what_all_meet_is_said_once(
    start_group: Start, cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> None:
    done = start_group(tmp_path / "run", cache, tiny_student, *SMALL, "--lr", "1e30")
    assert done.statuses == [1, 1]
    assert len(done.lines) == 1, done.lines
    assert "wanted a finite loss" in done.lines[0]
    done = start_group(tmp_path / "bug", cache, tiny_student, *SMALL, sabotage=BUG)
    assert done.statuses == [1, 1]
    assert sum(line.startswith("ZeroDivisionError") for line in done.lines) == 1, done.lines
    done = start_group(tmp_path / "small", cache, tiny_student, *SMALL, "--batch-size", "1")
    assert done.statuses == [2, 2]
    assert len(done.lines) == 1
    assert "--batch-size 1: wanted at least 2, a row for each process" in done.lines[0]


def test_a_stopped_run_goes_on_bit_for_bit_with_as_many(
    start_group: Start, cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> None:
    whole = start_group(tmp_path / "whole", cache, tiny_student, *SMALL, dropout=True)
    first = start_group(tmp_path / "parts", cache, tiny_student, *SMALL, dropout=True, sabotage=stop_at(15))
    assert first.statuses == [143, 143], first.lines
    assert len(first.lines) == 1
    second = start_group(tmp_path / "parts", cache, tiny_student, *SMALL, "--resume", "must", dropout=True)
    assert (whole.statuses, second.statuses) == ([0, 0], [0, 0]), second.lines
    for name in ("metrics.jsonl", "aligner.safetensors", "student/model.safetensors"):
        assert (whole.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


def test_a_finished_run_is_not_made_again(
    start_group: Start, cache: TeacherCache, tiny_student: Path, tmp_path: Path
) -> None:
    options = ("--batch-size", "8", "--max-length", "32", "--epochs", "1", "--method", "undistilled")
    assert start_group(tmp_path / "run", cache, tiny_student, *options).statuses == [0, 0]
    before = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    assert start_group(tmp_path / "run", cache, tiny_student, *options).statuses == [0, 0]
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == before
