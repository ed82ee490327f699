import json
import multiprocessing
import re
import signal
from pathlib import Path

import pytest

from distill.store import claimed
from distill.studies.collecting import collect
from distill.studies.comparison import sheet_of
from distill.studies.markdown import as_csv, as_markdown
from distill.studies.planning import Planner, Run
from distill.studies.running import Outcome, look, make
from schemas.cache import TeacherCache
from schemas.errors import StoppedError, StudentError
from schemas.result import RunResult
from tests.distill.studies.tiny_studies import STUDY, fill, leave


class Fit:
    """Counts what it makes; breaks or is stopped at some of them."""

    def __init__(self, breaks: dict[int, Exception] | None = None) -> None:
        self.made: list[str] = []
        self._breaks = breaks or {}

    def __call__(self, run: Run, cache: TeacherCache) -> RunResult:
        self.made.append(run.folder.name)
        if error := self._breaks.get(len(self.made)):
            (run.folder / "metrics.jsonl").write_text("{}")
            raise error
        return leave(run, cache)


def report(planner: Planner, outcome: Outcome) -> tuple[str, str]:
    sheet = sheet_of(STUDY, planner.profile, collect(STUDY, planner.plan(STUDY), outcome), "paper-tables")
    return as_csv(sheet), as_markdown(sheet, None)


def test_each_run_is_made_once_and_not_again(runs: list[Run]) -> None:
    first, second = Fit(), Fit()
    outcome = make(runs, fit=first, quiet=True)
    again = make(runs, fit=second, quiet=True)

    assert (len(runs), outcome.made, len(first.made), len(set(first.made))) == (8, 8, 8, 8)
    assert (again.made, second.made, again.results) == (0, [], outcome.results)
    assert look(runs).results == outcome.results


def test_a_run_that_fails_is_listed_and_tried_again_and_the_others_go_on(runs: list[Run]) -> None:
    broken = Fit({3: StudentError("no such layer"), 5: RuntimeError("two\nlines")})
    outcome = make(runs, fit=broken, quiet=True)

    assert (outcome.made, len(outcome.results)) == (6, 6)
    assert sorted(outcome.failed.values()) == ["RuntimeError: two lines", "no such layer"]
    assert look(runs).failed == outcome.failed
    assert make(runs, fit=Fit(), quiet=True).failed == {}
    assert look(runs).failed == {}


@pytest.mark.parametrize("stop", [StoppedError("stopped by SIGINT", 130), KeyboardInterrupt()])
def test_a_grid_that_was_interrupted_and_goes_on_gives_the_same_report(
    planner: Planner, cache: TeacherCache, tmp_path: Path, stop: BaseException
) -> None:
    plan = planner.plan(STUDY)
    with pytest.raises(type(stop)):
        make(plan.runs.values(), fit=Fit({4: stop}), quiet=True)  # type: ignore[dict-item]
    resumed = Fit()
    outcome = make(plan.runs.values(), fit=resumed, quiet=True)
    whole = Planner(profile=planner.profile, caches=[cache], store=tmp_path / "other", seeds=planner.seeds)
    at_once = make(whole.plan(STUDY).runs.values(), fit=Fit(), quiet=True)

    assert len(resumed.made) == 5
    assert report(planner, outcome) == report(whole, at_once)


def test_several_processes_on_one_store_never_make_a_run_twice(
    tiny_student: Path, cache: TeacherCache, tmp_path: Path
) -> None:
    context, journal = multiprocessing.get_context("spawn"), tmp_path / "journal"
    arguments = (tiny_student, cache.folder, tmp_path / "store", journal)
    processes = [context.Process(target=fill, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    made = journal.read_text().split()

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(made) == len(set(made)) == 16


def test_a_grid_that_was_killed_goes_on_with_the_run_that_it_was_killed_in(
    tiny_student: Path, cache: TeacherCache, tmp_path: Path
) -> None:
    context, journal = multiprocessing.get_context("spawn"), tmp_path / "journal"
    arguments = (tiny_student, cache.folder, tmp_path / "store", journal)
    exits = []
    for killed_at in (5, 0):
        process = context.Process(target=fill, args=(*arguments, killed_at))
        process.start()
        process.join()
        exits.append(process.exitcode)
    begun = journal.read_text().split()

    assert exits == [-signal.SIGKILL, 0]
    assert begun[4] == begun[5], "killed in its fifth run, it goes on there"
    assert len(begun) == len(set(begun)) + 1 == 17


def test_a_run_of_another_process_is_passed_over_and_come_back_to(
    runs: list[Run], cache: TeacherCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, fit = runs[0], Fit()
    holding = claimed(held.folder, held.config, held.digest)
    holding.__enter__()

    def the_other_finishes(_: float) -> None:
        leave(held, cache)
        holding.__exit__(None, None, None)

    monkeypatch.setattr("distill.studies.running.time.sleep", the_other_finishes)
    outcome = make(runs, fit=fit, quiet=True)

    assert held.folder.name not in fit.made
    assert (outcome.made, len(outcome.results)) == (7, 8)


@pytest.mark.parametrize(
    ("damage", "wanted"),
    [
        (lambda text: text[:40], r"run\.json is cut short or damaged"),
        (lambda text: text.replace('"result_version": 1', '"result_version": 9'), "has result version 9"),
    ],
)
def test_a_result_of_another_version_or_cut_short_is_one_line_and_left_alone(
    runs: list[Run], damage: object, wanted: str
) -> None:
    make(runs, fit=Fit(), quiet=True)
    path = runs[2].folder / "run.json"
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    kept, fit = path.read_text(), Fit()
    outcome = make(runs, fit=fit, quiet=True)

    assert (fit.made, path.read_text()) == ([], kept)
    (line,) = outcome.failed.values()
    assert re.search(wanted, line)
    assert "\n" not in line


def test_a_real_run_is_made_and_read(planner: Planner, cache: TeacherCache) -> None:
    plan = planner.plan(STUDY)
    one = [run for run in plan.runs.values() if run.config.seed == 1 and run.config.distillation is None]

    outcome = make(one, quiet=True)
    found = collect(STUDY, plan, outcome)

    (result,) = outcome.results.values()
    (by_seed,) = found.values.values()
    assert by_seed == {1: pytest.approx(100 * result.metrics["student"]["matthews"])}
    assert json.loads((one[0].folder / "run.json").read_text())["config"]["seed"] == 1
