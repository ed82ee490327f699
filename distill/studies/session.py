"""One call of `paper-tables`: which studies, with what, from which store, to which folder."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.studies import NOT_MADE, STUDIES, find_study
from distill.studies.collecting import collect
from distill.studies.comparison import sheet_of
from distill.studies.estimating import estimate
from distill.studies.mini_profile import MINI
from distill.studies.planning import LEFT_OUT, Plan, Planner, Run, open_caches, with_students
from distill.studies.profile import Profile
from distill.studies.profiles import PROFILES
from distill.studies.running import Outcome, look, make
from distill.studies.sheet import Sheet
from distill.studies.study import Study
from distill.studies.writing import write_index, write_settings, write_sheet
from schemas.console import say, show_json
from schemas.errors import CacheError, ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A call that was checked.

    Attributes:
        plans: what each study needs.
        profile: that is filled.
        seeds: of the runs.
        store: of the runs.
        out: folder of the report.
        command: that was given.
        settings: every option that says what is reported, resolved.
        everything: an index is written too.
        runs_nothing: only what the store has is reported.
    """

    plans: dict[str, Plan]
    profile: Profile
    seeds: Sequence[int]
    store: Path
    out: Path
    command: str
    settings: Mapping[str, Any]
    everything: bool
    runs_nothing: bool

    @property
    def runs(self) -> list[Run]:
        """Each run once: all of one seed before the next, so that a night cut short has seen every table."""
        runs = {folder: run for plan in self.plans.values() for folder, run in plan.runs.items()}
        return sorted(runs.values(), key=lambda run: self.seeds.index(run.config.seed))

    @property
    def advice(self) -> list[str]:
        """What would let more of the chosen tables run, each line once."""
        return list(dict.fromkeys(line for plan in self.plans.values() for line in plan.advice))

    def work(self, *, quiet: bool) -> dict[str, Any]:
        """Make what is missing, and write the report.

        Returns:
            The summary that `--json` prints.
        """
        for line in self.advice:
            say(f"to run more: {line}", quiet=quiet)
        outcome = look(self.runs) if self.runs_nothing else make(self.runs, quiet=quiet)
        if missing := len(self.runs) - len(outcome.results) - len(outcome.failed):
            say(f"{self.store}: {missing} of {len(self.runs)} runs are not finished", quiet=quiet)
        sheets = self.report(outcome, quiet=quiet)
        for folder, reason in outcome.failed.items():
            say(f"{folder}: {reason}", quiet=quiet)
        return {
            "out": str(self.out),
            "store": str(self.store),
            "runs": len(self.runs),
            "finished": len(outcome.results),
            "made": outcome.made,
            "failed": {str(folder): reason for folder, reason in outcome.failed.items()},
            "advice": self.advice,
            "studies": {
                sheet.study.name: {"numbers": len(sheet.lines), "run": sheet.num_run} for sheet in sheets
            },
        }

    def estimate(self) -> dict[str, Any]:
        """What `--dry-run` tells: runs, hours and memory of what is missing, and what would let more run."""
        told = estimate(self.runs, look(self.runs), self.store)
        more = [f"to run more: {line}" for line in self.advice]
        return {**told, "advice": self.advice, "lines": [*told["lines"], *more]}

    def report(self, outcome: Outcome, *, quiet: bool) -> list[Sheet]:
        """Write every study's report, the index of all, and the settings of this call."""
        sheets = []
        for name, plan in self.plans.items():
            study = STUDIES[name]
            sheet = sheet_of(study, self.profile, collect(study, plan, outcome), self.command)
            write_sheet(sheet, self.out)
            say(
                f"{self.out / study.file_name}.html: {sheet.num_run} of {len(sheet.lines)} numbers",
                quiet=quiet,
            )
            sheets.append(sheet)
        if self.everything:
            failed = {str(folder): reason for folder, reason in outcome.failed.items()}
            write_index(sheets, NOT_MADE, failed, self.out)
            say(f"{self.out / 'index.html'}: {len(sheets)} tables and figures", quiet=quiet)
        write_settings(self.settings, self.out)
        return sheets


def prepare(
    *,
    command: str,
    shards: Sequence[str],
    table: Sequence[int],
    figure: Sequence[int],
    all: bool,  # noqa: A002 - the option's name
    profile: str,
    students: Sequence[str],
    tasks: str | None,
    seeds: str | None,
    store: Path,
    out: Path | None,
    no_run: bool,
) -> Session:
    """Check a call and plan its runs.

    Raises:
        ArmadaError: a number that is none, a cache or student that cannot be used, or nothing to run at all.
    """
    studies = _chosen(table, figure, everything=all)
    if not shards:
        raise ConfigError("--shards: no teacher cache given; make one with cache-teacher and give its folder")
    filled = replace(PROFILES[profile], students=with_students(PROFILES[profile], students))
    planner = Planner(
        profile=filled,
        caches=open_caches(shards),
        store=store,
        seeds=filled.seeds if seeds is None else _numbers(seeds),
        tasks=_names(tasks, filled) if tasks else None,
    )
    plans = {study.name: planner.plan(study) for study in studies}
    _refuse_empty(plans, filled, tasks, everything=all)
    out = out or Path("data/tables") / profile
    _check_folder("--store", store, is_written=not no_run)
    _check_folder("--out", out, is_written=True)
    settings = {
        "shards": list(shards),
        "table": list(table),
        "figure": list(figure),
        "all": all,
        "profile": profile,
        "students": [f"{name}={one.path}" for name, one in filled.students.items() if one.path is not None],
        **({"tasks": tasks} if tasks else {}),
        "seeds": ",".join(map(str, planner.seeds)),
        "store": str(store),
        "out": str(out),
    }
    return Session(
        plans=plans,
        profile=filled,
        seeds=planner.seeds,
        store=store,
        out=out,
        command=command,
        settings=settings,
        everything=all,
        runs_nothing=no_run,
    )


def _check_folder(option: str, folder: Path, *, is_written: bool) -> None:
    """A folder that cannot be written to is told before hours of runs, not after."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"{option} {folder}: {there} is a file; give a folder")
    if is_written and not os.access(there, os.W_OK):
        raise ConfigError(f"{option} {folder}: {there} cannot be written to; give another folder")


def _chosen(tables: Sequence[int], figures: Sequence[int], *, everything: bool) -> list[Study]:
    if everything:
        if tables or figures:
            raise ConfigError("--all has every table and figure; leave out --table and --figure")
        return list(STUDIES.values())
    chosen = [
        *(find_study("table", number) for number in tables),
        *(find_study("figure", number) for number in figures),
    ]
    if not chosen:
        raise ConfigError("nothing chosen: give --table N, --figure N or --all; --list shows what there is")
    return list(dict.fromkeys(chosen))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise ConfigError(
            f"--seeds {text}: wanted whole numbers with commas between, such as 42,43"
        ) from None
    return seeds


def _names(text: str, profile: Profile) -> frozenset[str]:
    known = {*profile.tasks, *(task.name for task in profile.tasks.values())}
    names = frozenset(part.strip() for part in text.split(","))
    if unknown := sorted(names - known):
        raise ConfigError(
            f"--tasks {unknown[0]}: not in profile {profile.name}; choose from {', '.join(sorted(known))}"
        )
    return names


def _refuse_empty(plans: dict[str, Plan], profile: Profile, tasks: str | None, *, everything: bool) -> None:
    """Refuse a call of which nothing can be run, and one that names a table whose caches are missing.

    Raises:
        CacheError: the first line that would let something run is given.
        ConfigError: the profile has nothing for what was chosen, or `--tasks` leaves all of it out.
    """
    empty = [name for name, plan in plans.items() if not plan.readings]
    advice = list(dict.fromkeys(line for name in empty for line in plans[name].advice))
    is_all = len(empty) == len(plans)
    if advice and (is_all or not everything):
        advised = _named([name for name in empty if plans[name].advice])
        others = f" (and {len(advice) - 1} more)" if len(advice) > 1 else ""
        hint = "" if profile.name == MINI.name else f" (--profile {MINI.name} needs no hub)"
        raise CacheError(
            f"{advised}: nothing can be run with profile {profile.name}{hint}; {advice[0]}{others}"
        )
    if is_all:
        raise ConfigError(f"{_named(empty)}: nothing can be run: {_reason(plans, profile, tasks)}")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{STUDIES[names[0]].file_name}{more}"


def _reason(plans: dict[str, Plan], profile: Profile, tasks: str | None) -> str:
    """Why nothing can be run, and what to do: of the tasks that were asked for, if any were."""
    missing = [item for plan in plans.values() for item in plan.missing.items()]
    asked = [reason for key, reason in missing if key.task in profile.tasks and reason != LEFT_OUT]
    if tasks and not asked:
        return f"--tasks {tasks}: none of them stands in what was chosen; leave it out, or choose others"
    return f"{asked[0] if asked else missing[0][1]}; choose another table or --profile"


def list_studies(*, as_json: bool) -> None:
    """Print every table and figure, and those that are not made."""
    titles = {study.file_name: study.title for study in STUDIES.values()}
    if as_json:
        show_json({"made": titles, "not_made": NOT_MADE})
        return
    lines = [f"{name:9} {title}" for name, title in titles.items()]
    lines += [f"{name:9} not made: {reason}" for name, reason in NOT_MADE.items()]
    sys.stdout.write("\n".join(lines) + "\n")
