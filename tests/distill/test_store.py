import shutil
from pathlib import Path

import pytest

from distill.config import options_of, resolve
from distill.store import _hold, claimed, default_folder, finished, lost
from schemas.errors import LockedError, ResultError, StudentError
from schemas.manifest import TeacherIdentity
from schemas.result import CacheOrigin, RunResult, write_result

RUN = resolve({"task": "movie-sentiment", "student": "somewhere"}, "audio")
DIGEST, OTHER = "a" * 64, "b" * 64


def test_folder_is_named_by_what_runs() -> None:
    assert default_folder(RUN, DIGEST) == Path("data/results/movie-sentiment/armada-euclid-s42-aaaaaaaa")


def test_nothing_and_an_empty_folder_are_to_be_made(tmp_path: Path) -> None:
    assert finished(tmp_path / "none", DIGEST) is None
    assert finished(tmp_path, DIGEST) is None


def test_an_unfinished_run_is_made_again_by_itself_only(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with claimed(folder, RUN, DIGEST):
        (folder / "metrics.jsonl").write_text("")
    assert finished(folder, DIGEST) is None
    with pytest.raises(ResultError, match="holds the run aaaaaaaa, this one is bbbbbbbb"):
        finished(folder, OTHER)


def test_two_at_a_time_are_refused_by_number(tmp_path: Path) -> None:
    import os

    folder, wanted = tmp_path / "run", f"process {os.getpid()} on .+ trains there"
    with claimed(folder, RUN, DIGEST), pytest.raises(LockedError, match=wanted):
        claimed(folder, RUN, DIGEST).__enter__()
    with claimed(folder, RUN, DIGEST):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="is a file, wanted a folder"):
        finished(tmp_path / "file", DIGEST)


def test_a_run_that_was_refused_before_it_began_claims_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StudentError), claimed(folder, RUN, DIGEST):
        raise StudentError("no such device")

    assert finished(folder, OTHER) is None


def test_a_damaged_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "config.toml").write_bytes(b"\xff")

    with pytest.raises(ResultError, match=r"config\.toml cannot be read"):
        finished(tmp_path, DIGEST)


FILES = (
    *("student/config.json", "student/model.safetensors", "student/tokenizer.json"),
    *("predictions.parquet", "aligner.safetensors"),
)


def made(folder: Path) -> RunResult:
    """A finished run, as far as its folder tells."""
    teacher = TeacherIdentity(backend="test", name="numbers", revision="1", modality="audio")
    result = RunResult(
        config=options_of(RUN),
        config_hash=DIGEST,
        cache=CacheOrigin(name="cache", digest="d", teacher=teacher, rows=100),
        protocol="held-out",
        metrics={"student": {"accuracy": 0.8}},
        selection={},
        num_rows={},
        num_parameters={},
        seconds={},
        peak_memory_bytes={},
        versions={},
        device="cpu",
    )
    (folder / "student").mkdir()
    for name in FILES:
        (folder / name).write_text("something")
    write_result(folder, result)
    return result


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("emptied", [True, False])
def test_a_run_that_lost_what_it_left_is_made_again(tmp_path: Path, name: str, emptied: bool) -> None:
    result = made(tmp_path)
    assert (finished(tmp_path, DIGEST), lost(tmp_path)) == (result, [])
    if emptied:
        (tmp_path / name).write_text("")
    else:
        (tmp_path / name).unlink()
    assert finished(tmp_path, DIGEST) is None
    assert [one.rpartition(".")[2] for one in lost(tmp_path)] == [name.rpartition(".")[2]]
    with pytest.raises(ResultError, match="holds the run aaaaaaaa"):
        finished(tmp_path, OTHER)
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path, RUN, DIGEST):
        raise KeyboardInterrupt
    assert not (tmp_path / "run.json").exists(), "a kill while it is made again leaves no finished run"


def test_a_deleted_student_is_made_again(tmp_path: Path) -> None:
    made(tmp_path)
    shutil.rmtree(tmp_path / "student")
    assert finished(tmp_path, DIGEST) is None
    (tmp_path / "student").mkdir()
    assert finished(tmp_path, DIGEST) is None


def test_an_undistilled_run_has_no_aligner_to_lose(tmp_path: Path) -> None:
    result = made(tmp_path)
    (tmp_path / "aligner.safetensors").unlink()
    plain = result.model_copy(update={"config": {**result.config, "method": "undistilled"}})
    write_result(tmp_path, plain)
    assert finished(tmp_path, DIGEST) == plain


def test_what_another_process_finished_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    assert finished(tmp_path, DIGEST) is None
    result = made(tmp_path)

    with claimed(tmp_path, RUN, DIGEST) as found:
        assert found == result
    assert finished(tmp_path, DIGEST) == result


def test_a_lock_file_that_its_holder_deleted_meanwhile_locks_nothing(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("a+") as opened_before:
        (tmp_path / ".lock").unlink()
        with pytest.raises(LockedError, match="wait for it"):
            _hold(opened_before, tmp_path)
