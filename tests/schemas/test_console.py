"""What every command promises: one line for a fault, and a file of options that flags override."""

import errno
import os
from pathlib import Path
from typing import Any

import click
import pytest

from schemas.console import progress, read_config_file, run_command
from schemas.errors import CacheError, ConfigError


def left_with(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status and standard error of a command that raises."""

    def command(**_: Any) -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        run_command(command)
    return left.value.code, capsys.readouterr().err  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (CacheError("the cache is cut short"), 1, "the cache is cut short"),
        (ConfigError("--alpha 2: wanted a number from 0 to 1"), 2, "--alpha 2"),
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), 1, "cannot write out/x: No space left"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "file/sub"),
            1,
            "cannot use file/sub: Not a dir",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
        (CacheError("two\nlines\tand \x1b[31mcolour"), 1, "two lines and  [31mcolour"),
    ],
)
def test_a_fault_is_one_line(
    error: BaseException, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = left_with(error, capsys)

    assert (code, line.count("\n")) == (status, 1)
    assert words in line


@pytest.mark.parametrize(
    ("name", "closed", "said"),
    [
        ("file", "file", "cannot read {}: Permission denied; make it readable for this user"),
        ("file", "", "cannot write {}: Permission denied; give a folder that this user may write"),
        ("new", "", "cannot write {}: Permission denied; give a folder that this user may write"),
        ("folder/file", "folder", "cannot reach {}: Permission denied; open the folders that lead there"),
    ],
)
def test_what_may_not_be_done_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    name: str,
    closed: str,
    said: str,
) -> None:
    (tmp_path / "file").write_text("x")
    # Root may do what the mode forbids, so the mode alone would test nothing in a container.
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path / closed or not closed)
    path = str(tmp_path / name)
    code, line = left_with(PermissionError(errno.EACCES, "Permission denied", path), capsys)

    assert (code, line.count("\n")) == (1, 1)
    assert said.format(path) in line


def test_a_message_does_not_flood_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, line = left_with(CacheError("label " + "x" * 100_000 + "; correct it"), capsys)

    assert len(line) < 1_100
    assert line.rstrip().endswith("; correct it")


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    def command(**_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(command)


@click.command()
@click.option("--limit", type=click.IntRange(min=1))
@click.option("--lr", type=float)
@click.option("--splits", default="all")
@click.option("--quiet", is_flag=True)
@click.option("--config", callback=read_config_file, is_eager=True, expose_value=False)
def example(**options: Any) -> dict[str, Any]:
    """A command with an option of each kind."""
    return options


def options_from(tmp_path: Path, text: str, *flags: str) -> dict[str, Any]:
    file = tmp_path / "options.toml"
    file.write_text(text)
    return example(["--config", str(file), *flags], standalone_mode=False)


def test_options_come_from_a_file_and_flags_win(tmp_path: Path) -> None:
    text = 'limit = 5\nlr = 1\nsplits = ["train", "test"]\nquiet = true'

    found = options_from(tmp_path, text, "--limit", "7")

    assert found == {"limit": 7, "lr": 1.0, "splits": "train,test", "quiet": True}


@pytest.mark.parametrize(
    "text",
    [
        "limit = [1]",
        "limit = 2.7",
        "limit = true",
        "quiet = 7",
        "[limit]\nx = 1",
        "lr = 'high'",
        "splits = [1]",
        "config = 'x'",
        "no-such-option = 1",
        "limit = ",
    ],
)
def test_a_file_of_options_is_checked(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="--config"):
        options_from(tmp_path, text)


def test_two_spellings_of_one_option_are_refused(tmp_path: Path) -> None:
    @click.command()
    @click.option("--batch-size", type=int)
    @click.option("--config", callback=read_config_file, is_eager=True, expose_value=False)
    def other(**_: Any) -> None: ...

    file = tmp_path / "options.toml"
    file.write_text("batch-size = 1\nbatch_size = 2")

    with pytest.raises(ConfigError, match="stands twice"):
        other(["--config", str(file)], standalone_mode=False)


def test_time_left_does_not_count_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([0.0, 100.0, 100.0, 101.0, 101.0, 101.0, 101.0, 101.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))

    with progress("asking", 100, "rows", done=40) as advance:
        advance(10)
        advance(10)

    # Ten rows in the second after the first ten, which came after 100 seconds of loading.
    assert "60/100 rows 10.0 rows/s, 0:00:04 left" in capsys.readouterr().err


def test_who_knows_the_time_left_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    known: list[float | None] = [None, 3723.0]
    for seconds in known:
        with progress("training", 100, "rows", left=lambda seconds=seconds: seconds) as advance:
            advance(10)
            advance(10)

    unknown, asked = capsys.readouterr().err.splitlines()
    assert unknown.endswith("rows/s")
    assert asked.endswith("rows/s, 1:02:03 left")
