"""FSDP2 is a way of lying in memory: what is learnt, written and gone on from is the same."""

from collections.abc import Callable
from pathlib import Path

from schemas.cache import TeacherCache
from tests.devices import on_each_device
from tests.process_groups import Start, equal, stop_at

SMALL = ("--batch-size", "5", "--max-length", "32", "--limit-train", "21", "--lr", "1e-3", "--epochs", "1")


def test_a_sharded_student_learns_as_a_whole_one(
    start_group: Start, cache: TeacherCache, calm_student: Path, tmp_path: Path
) -> None:
    options = (*SMALL, "--hidden-dim", "16", "--accumulate", "2", "--alpha", "0.3")
    runs = [
        start_group(tmp_path / sharding, cache, calm_student, *options, "--sharding", sharding)
        for sharding in ("none", "full")
    ]
    assert [run.statuses for run in runs] == [[0, 0], [0, 0]], [run.lines for run in runs]
    equal(*runs)
    assert runs[1].result()["device"].endswith("sharded")
    # The folder is one that plain transformers opens, weights whole.
    again = start_group(tmp_path / "full", cache, calm_student, *options, "--evaluate-only", count=0)
    assert again.statuses == [0], again.lines


@on_each_device
def test_one_process_has_all_the_parts_on_its_device(
    *, start_group: Start, cache: TeacherCache, calm_student: Path, tmp_path: Path, device: str
) -> None:
    options = (*SMALL, "--hidden-dim", "16", "--device", device)
    alone = start_group(tmp_path / "alone", cache, calm_student, *options, count=0)
    sharded = start_group(tmp_path / "sharded", cache, calm_student, *options, "--sharding", "full", count=1)
    assert (alone.statuses, sharded.statuses) == ([0], [0]), [*alone.lines, *sharded.lines]
    equal(alone, sharded)
    assert sharded.result()["device"].startswith(f"{device} (")


def test_an_adapter_in_a_sharded_student_does(
    start_group: Start, cache: TeacherCache, make_causal: Callable[..., Path], tmp_path: Path
) -> None:
    student = make_causal(tmp_path / "llama", "llama", tie_word_embeddings=True)
    options = (*SMALL, "--method", "undistilled", "--lora-rank", "2", "--lora-dropout", "0")
    alone = start_group(tmp_path / "alone", cache, student, *options, count=0)
    assert alone.statuses == [0], alone.lines
    # One process has all the parts, as on a single device.
    for count in (2, 1):
        sharded = start_group(
            tmp_path / str(count), cache, student, *options, "--sharding", "full", count=count
        )
        assert sharded.statuses == [0] * count, sharded.lines
        equal(alone, sharded)


def test_a_run_goes_on_with_another_number_of_processes(
    start_group: Start, cache: TeacherCache, calm_student: Path, tmp_path: Path
) -> None:
    options = (
        *SMALL,
        "--hidden-dim",
        "16",
        "--schedule",
        "joint",
        "--epochs",
        "3",
        "--lr-schedule",
        "linear",
    )
    whole = start_group(tmp_path / "whole", cache, calm_student, *options, count=0)
    assert whole.statuses == [0], whole.lines
    for count, step, sharded in ((2, 2, ()), (0, 4, ()), (2, 7, ("--sharding", "full")), (3, 9, ())):
        stopped = start_group(
            tmp_path / "parts", cache, calm_student, *options, *sharded, count=count, sabotage=stop_at(step)
        )
        assert set(stopped.statuses) == {143}, stopped.lines
        assert len(stopped.lines) == 1, stopped.lines
        assert f"stopped by SIGTERM after step {step}, which is saved" in stopped.lines[0]
    last = start_group(tmp_path / "parts", cache, calm_student, *options, "--resume", "must", count=0)
    assert last.statuses == [0], last.lines
    equal(whole, last)
    notes = last.result()["notes"]
    assert len([note for note in notes if note.startswith("trained on ")]) == 4, notes
    assert "then on 2 processes, each on cpu" in " ".join(notes)
