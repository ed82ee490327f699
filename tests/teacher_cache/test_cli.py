"""cache-teacher as a command: one line for what is wrong, one object for what is done, the right status."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from teacher_cache.cli import command as click_command
from teacher_cache.cli import main
from teacher_cache.config import CacheConfig

Said = tuple[int, str, str]


@pytest.fixture
def say(
    teachers: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["cache-teacher", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), *capsys.readouterr()

    return call


def test_json_is_one_object_and_the_folder_is_the_default(
    say: Callable[..., Said], prompts: Callable[..., Path]
) -> None:
    code, out, _ = say("--model", "fast:Big/One+Two", "--prompts", prompts(10), "--json")

    assert code == 0
    assert json.loads(out)["folder"] == "data/shards/movie-sentiment/fast-big-one-two"
    assert out.count("\n") == 1


def test_rows_that_failed_are_status_3(
    say: Callable[..., Said], prompts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAST_FAIL", "row-3")

    code, _, err = say("--model", "fast:", "--prompts", prompts(10))
    assert code == 3
    told = "1 rows failed (--retry-errors asks them again), the first: the fast teacher was told to fail"
    assert err.splitlines()[-1].endswith(told)


def test_flags_win_over_the_file(
    say: Callable[..., Said], prompts: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text(
        f'model = "fast:"\nlimit = 5\nout = "there"\nprompts = "{prompts(20)}"\n'
    )

    _, out, _ = say("--config", "run.toml", "--limit", 7, "--json")
    found = json.loads(out)
    assert (found["rows"], found["folder"]) == (7, "there")


def test_an_option_that_may_stand_several_times_is_a_list_in_the_file(
    say: Callable[..., Said], prompts: Callable[..., Path]
) -> None:
    Path("run.toml").write_text('option = ["colour=red", "size=2"]\nmax-cost = 5\n')
    given = ("--model", "fast:", "--prompts", prompts(10), "--out", "there")

    _, _, err = say("--config", "run.toml", *given)
    assert "--max-cost needs prices" in err
    Path("run.toml").write_text('option = ["colour=red", "size=2"]\n')
    assert say("--config", "run.toml", *given)[0] == 0
    assert json.loads(Path("there/config.json").read_text())["option"] == ["colour=red", "size=2"]


def test_a_dry_run_says_what_the_whole_would_take(
    say: Callable[..., Said], prompts: Callable[..., Path]
) -> None:
    code, _, err = say("--model", "fast:", "--prompts", prompts(40), "--dry-run")

    assert code == 0
    assert err.startswith("would ask 40 of 40 rows: ")
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Missing option '--model'"),
        (("--model", "gpt:4"), 2, "--model gpt:4: no backend gpt; give BACKEND:NAME with one of speech, "),
        (("--model", "none", "--top-k", "0"), 2, "Invalid value for '--top-k': 0 keeps none"),
        (("--model", "none:x"), 2, "the backend none has no models"),
        (("--model", "speech:x"), 2, "the name is hibari+MODEL"),
        (("--model", "speech:hibari+x"), 1, "data/models/x/model.bin is not there; run `make data`"),
        (("--model", "none", "--max-cost", "nan"), 2, "--max-cost': nan is no finite number"),
        (("--model", "none", "--timeout", "inf"), 2, "--timeout': inf is no finite number"),
        (("--model", "none", "--limit", "0"), 2, "Invalid value for '--limit'"),
        (("--model", "none", "--task", "glue"), 2, "--task glue: no such task"),
        (("--model", "none", "--task", "free"), 2, "--task free has no original files"),
        (("--model", "none"), 1, "data/tasks/movie-reviews is not there; "),
        (("--model", "none", "--store", "repr"), 2, "--store repr: the backend none gives nothing, not repr"),
        (("--model", ""), 2, "--model is empty; give a value, or leave it out"),
        (("--model", "none", "--out", ""), 2, "Invalid value for '--out': it is empty; give a path"),
        (("--model", "none", "--source", ""), 2, "Invalid value for '--source': it is empty; give a path"),
        (("--model", "none", "--config", "no.toml"), 2, "--config no.toml"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    say: Callable[..., Said],
    prompts: Callable[..., Path],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    examples = () if "--task" in arguments or arguments == ("--model", "none") else ("--prompts", prompts(5))
    found, _, err = say(*arguments, *examples)

    assert (found, err.count("\n")) == (code, 1), err
    assert message in err


def test_every_option_reaches_the_run() -> None:
    options = {parameter.name for parameter in click_command.params} - {"config", "as_json", "help"}

    # Where a cache is uploaded to follows from --out.
    assert options == set(CacheConfig.__dataclass_fields__) - {"upload_to"}
