"""`paper-tables`: what it lists, refuses, estimates and writes."""

import csv
import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from distill.studies import STUDIES, find_study, session
from distill.studies.profile import Profile
from distill.studies.profiles import PROFILES
from distill.studies.running import make
from distill.tables_cli import paper_tables
from schemas.cache import TeacherCache
from schemas.errors import ArmadaError, CacheError, ConfigError, ManifestError
from tests.distill.studies.tiny_studies import STUDY, leave


@pytest.fixture
def ask(
    monkeypatch: pytest.MonkeyPatch, profile: Profile, cache: TeacherCache, tmp_path: Path
) -> Callable[..., Result]:
    """Ask the command about the tiny study in place of Table 2, with a fit that needs no model."""
    monkeypatch.setitem(PROFILES, "mini", profile)
    monkeypatch.setitem(STUDIES, "table02", STUDY)
    monkeypatch.setattr(session, "make", lambda runs, quiet: make(runs, fit=leave, quiet=quiet))

    def run(*arguments: str, shards: str | None = str(cache.folder)) -> Result:
        given = [] if shards is None else ["--shards", shards]
        place = ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--profile", "mini"]
        return CliRunner().invoke(paper_tables, [*given, *place, *arguments])

    return run


def refusal(result: Result) -> ArmadaError:
    assert isinstance(result.exception, ArmadaError), result.output
    assert "\n" not in str(result.exception)
    return result.exception


def test_the_list_names_every_study_and_what_is_not_made() -> None:
    lines = CliRunner().invoke(paper_tables, ["--list"]).output.splitlines()
    listed = json.loads(CliRunner().invoke(paper_tables, ["--list", "--json"]).output)

    assert [line.split()[0] for line in lines if "not made" not in line] == list(listed["made"])
    assert len(listed["made"]) == len(STUDIES) == 25
    assert set(listed["not_made"]) == {"table1", "table15", "figure9"}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--table", "1"), "--table 1 is not made: it is the paper's notation"),
        (("--table", "18"), "--table 18: no such table; choose from 2, 3, 4"),
        (("--figure", "9"), "--figure 9 is not made: its mistakes were sorted by hand"),
        (("--figure", "-3"), "--figure -3: no such figure; choose from 3, 4"),
        ((), "nothing chosen: give --table N, --figure N or --all"),
        (("--all", "--table", "2"), "leave out --table and --figure"),
        (("--table", "2", "--seeds", "1,x"), "--seeds 1,x: wanted whole numbers"),
        (("--table", "2", "--tasks", "nothing"), "--tasks nothing: not in profile tiny; choose from CoLA"),
        (("--table", "2", "--students", "bert-base"), "wanted NAME=PATH"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(
    ask: Callable[..., Result], arguments: tuple[str, ...], wanted: str
) -> None:
    error = refusal(ask(*arguments))

    assert wanted in str(error)
    assert isinstance(error, ConfigError)


def test_no_cache_or_one_that_is_none_is_refused(ask: Callable[..., Result], tmp_path: Path) -> None:
    assert "--shards: no teacher cache given" in str(refusal(ask("--table", "2", shards=None)))
    assert isinstance(refusal(ask("--table", "2", shards=str(tmp_path))), ManifestError)


ADVICE = (
    "give --shards DIR of one: cache-teacher --model speech:a+b --task product-reviews "
    "--out data/shards/tiny/product-reviews"
)


@pytest.mark.parametrize("chosen", ["--table=2", "--all"])
def test_shards_without_any_task_of_a_table_name_the_line_that_makes_them(
    ask: Callable[..., Result], tmp_path: Path, chosen: str
) -> None:
    error = refusal(ask(chosen, "--tasks", "RTE"))

    assert isinstance(error, CacheError)
    assert str(error).startswith("table2")
    assert f": nothing can be run with profile tiny (--profile mini needs no hub); {ADVICE}" in str(error)
    assert not (tmp_path / "out").exists()


def test_another_profile_s_shards_are_refused_for_all_tables_too(cache: TeacherCache) -> None:
    error = refusal(CliRunner().invoke(paper_tables, ["--shards", str(cache.folder), "--all"]))

    assert isinstance(error, CacheError)
    assert str(error).startswith(
        "table2 and 24 more: nothing can be run with profile paper (--profile mini needs"
    )
    assert "no hub); give --shards DIR" in str(error)
    assert str(error).endswith(" (and 27 more)")


def test_a_table_that_a_profile_has_nothing_for_is_refused(ask: Callable[..., Result]) -> None:
    for chosen in (("--table", "9"), ("--table", "9", "--dry-run"), ("--table", "9", "--no-run")):
        error = refusal(ask(*chosen))
        assert isinstance(error, ConfigError)
        assert "table9: nothing can be run: nothing stands for MM-IMDb in profile tiny" in str(error)


@pytest.mark.parametrize("option", ["--store", "--out"])
def test_a_folder_that_will_not_do_is_told_before_anything_runs(
    ask: Callable[..., Result], tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    error = refusal(ask("--table", "2", option, str(tmp_path / "file" / "below")))
    assert f"{option} {tmp_path / 'file' / 'below'}: {tmp_path / 'file'} is a file; give a folder" in str(
        error
    )
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    assert "cannot be written to; give another folder" in str(
        refusal(ask("--table", "2", option, str(tmp_path)))
    )


def test_no_seeds_are_none(ask: Callable[..., Result]) -> None:
    assert "--seeds : wanted whole numbers" in str(refusal(ask("--table", "2", "--seeds", "")))


def test_tasks_that_stand_in_no_chosen_table_are_refused(ask: Callable[..., Result]) -> None:
    assert "--tasks CoLA: none of them stands in what was chosen" in str(
        refusal(ask("--table", "4", "--tasks", "CoLA"))
    )


def test_what_would_let_more_run_is_said_once(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STUDIES, "table03", replace(STUDY, name="table03"))
    both = ("--table", "2", "--table", "3")
    dry, made = ask(*both, "--dry-run"), ask(*both, "--json")

    assert dry.stdout.splitlines()[-1] == f"to run more: {ADVICE}"
    assert dry.stdout.count("to run more") == made.stderr.count(f"to run more: {ADVICE}\n") == 1
    assert json.loads(made.stdout)["advice"] == [ADVICE]
    assert json.loads(ask(*both, "--dry-run", "--json").stdout)["advice"] == [ADVICE]
    assert "to run more" not in ask(*both, "--quiet").output


def test_a_table_is_written_in_every_format_and_a_second_call_makes_nothing(
    ask: Callable[..., Result], tmp_path: Path
) -> None:
    first = json.loads(ask("--table", "2", "--json", "--quiet").stdout)
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = json.loads(ask("--table", "2", "--json", "--quiet").stdout)

    assert (first["made"], first["finished"], first["failed"]) == (8, 8, {})
    assert (again["made"], again["finished"]) == (0, 8)
    assert set(files) == {"config.toml", "table2.csv", "table2.html", "table2.md", "table2.png"}
    assert files["table2.png"].startswith(b"\x89PNG")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    rows = list(csv.DictReader(files["table2.csv"].decode().splitlines()))
    (euclid,) = [
        row for row in rows if (row["model"], row["variant"], row["task"]) == ("bert-base", "euclid", "CoLA")
    ]
    assert (euclid["paper"], euclid["seeds"], euclid["stand_in"]) == ("61.9", "2", "movie-sentiment")
    assert euclid["difference"] == "", "another task has no difference"
    assert "not run: nothing stands for opt-1.3b" in files["table2.md"].decode()


def test_a_failed_run_makes_status_three_and_stands_in_the_report(
    ask: Callable[..., Result], tmp_path: Path
) -> None:
    ask("--table", "2", "--quiet")
    (damaged, *_) = sorted((tmp_path / "store").rglob("run.json"))
    damaged.write_text("{")
    result = ask("--table", "2", "--json", "--quiet")

    assert result.exit_code == 3
    assert list(json.loads(result.stdout)["failed"]) == [str(damaged.parent)]
    assert "run.json is cut short or damaged" in (tmp_path / "out" / "table2.md").read_text()


def test_no_run_reports_what_is_there(ask: Callable[..., Result], tmp_path: Path) -> None:
    summary = json.loads(ask("--table", "2", "--no-run", "--json", "--quiet").stdout)

    assert (summary["made"], summary["finished"]) == (0, 0)
    assert not (tmp_path / "store").exists()
    assert "not run yet" in (tmp_path / "out" / "table2.md").read_text()
    assert f"{tmp_path / 'store'}: 8 of 8 runs are not finished" in ask("--table", "2", "--no-run").stderr


def test_a_dry_run_says_where_its_hours_come_from_and_writes_nothing(
    ask: Callable[..., Result], tmp_path: Path
) -> None:
    nothing = json.loads(ask("--table", "2", "--dry-run", "--json").stdout)
    assert (nothing["missing"], nothing["hours"]) == (8, None)
    assert {kind["hours_from"].split(":")[0] for kind in nothing["kinds"]} == {"nothing measured"}
    assert all(kind["memory_from"].startswith("at least: weights") for kind in nothing["kinds"])
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "out").exists()

    ask("--table", "2", "--quiet", "--seeds", "1")
    measured = json.loads(ask("--table", "2", "--dry-run", "--json").stdout)
    assert (measured["missing"], measured["finished"]) == (4, 4)
    # Two seconds a run of 80 rows trained on once and 32 reported; here 86 and 32 rows.
    assert measured["hours"] == pytest.approx(4 * 2.0 / (80 + 32) * (86 + 32) / 3600)
    assert all(kind["hours_from"].startswith("measured: ") for kind in measured["kinds"])
    assert {kind["measured_runs"] for kind in measured["kinds"]} == {1, 3}
    lines = ask("--table", "2", "--dry-run").stdout.splitlines()
    assert lines[0].startswith("4 of 8 runs are missing (0 of them failed before); hours: about 0.00, ")
    student = measured["kinds"][0]["student"]
    assert lines[1:-1] == [
        f"1 x {student} on movie-sentiment, undistilled: 0.00 h by 1 run [1]; 1.0 GB [2]",
        f"3 x {student} on movie-sentiment, armada: 0.00 h by 3 runs [1]; 1.0 GB [2]",
        "[1] measured: finished runs of the same student, by rows, on cpu (1 threads), fp32",
        "[2] measured, of the process, without a GPU",
    ]

    ask("--table", "2", "--quiet")
    assert ask("--table", "2", "--dry-run").stdout.splitlines()[0] == "0 of 8 runs are missing"


def test_a_file_gives_options_and_flags_win(ask: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_text('table = [2]\nseeds = "1"\n')
    config = ("--config", str(tmp_path / "some.toml"))

    assert json.loads(ask(*config, "--dry-run", "--json").stdout)["runs"] == 4
    assert json.loads(ask(*config, "--dry-run", "--json", "--seeds", "1,2,3").stdout)["runs"] == 12


def test_the_settings_beside_a_report_make_it_again(
    ask: Callable[..., Result], profile: Profile, cache: TeacherCache, tmp_path: Path
) -> None:
    ask("--table", "2", "--tasks", "CoLA", "--seeds", "1", "--quiet")
    saved = tmp_path / "out" / "config.toml"
    report = (tmp_path / "out" / "table2.csv").read_bytes()
    (tmp_path / "out" / "table2.csv").unlink()
    again = CliRunner().invoke(paper_tables, ["--config", str(saved), "--json", "--quiet"])

    assert tomllib.loads(saved.read_text()) == {
        "shards": [str(cache.folder)],
        "table": [2],
        "figure": [],
        "all": False,
        "profile": "mini",
        "students": [f"bert-base={profile.students['bert-base'].path}"],
        "tasks": "CoLA",
        "seeds": "1",
        "store": str(tmp_path / "store"),
        "out": str(tmp_path / "out"),
    }
    assert (json.loads(again.stdout)["made"], json.loads(again.stdout)["finished"]) == (0, 4)
    assert (tmp_path / "out" / "table2.csv").read_bytes() == report


def test_every_study_is_found_by_its_kind_and_number() -> None:
    for name, study in STUDIES.items():
        kind = name.rstrip("0123456789")
        assert find_study(kind, int(name.removeprefix(kind))) is study
        assert study.file_name == f"{kind}{int(name.removeprefix(kind))}"
