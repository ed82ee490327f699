from pathlib import Path

import pytest

from distill.config import resolve
from distill.store import claimed, default_folder, finished
from schemas.errors import LockedError, ResultError, StudentError

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

    folder, wanted = tmp_path / "run", f"process {os.getpid()} trains there"
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
