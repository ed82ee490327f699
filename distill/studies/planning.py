"""From studies to runs: which student, cache and options make each cell, and why others have none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from distill.config import RunConfig, digest_of_run, resolve
from distill.signals import check_signals
from distill.store import folder_in
from distill.studies.profile import Profile, Student, Task
from distill.studies.study import Cell, Key, Study
from distill.weights import digest_of_student, is_hub_name
from schemas.cache import TeacherCache, open_cache
from schemas.errors import ArmadaError, CacheError, ConfigError, StudentError
from schemas.local_copy import local_copy

LEFT_OUT = "left out by --tasks"


@dataclass(frozen=True, slots=True)
class Run:
    """A run of stage two that one or more cells read.

    Attributes:
        config: of the run.
        cache: that it reads.
        digest: of all that changes its results.
        folder: in the store.
    """

    config: RunConfig
    cache: TeacherCache
    digest: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Reading:
    """What a cell reads of its runs.

    Attributes:
        cell: of a study.
        head: who answers, a key of `RunResult.metrics`.
        metric: its metric there.
        runs: by seed.
    """

    cell: Cell
    head: str
    metric: str
    runs: Mapping[int, Run]


@dataclass(slots=True)
class Plan:
    """What a study needs.

    Attributes:
        readings: cells that have runs.
        missing: cells that have none, and why.
        advice: what would let them run, where a user can do it.
    """

    readings: list[Reading] = field(default_factory=list)
    missing: dict[Key, str] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)

    @property
    def runs(self) -> dict[Path, Run]:
        """Each run once, however many cells read it."""
        return {run.folder: run for reading in self.readings for run in reading.runs.values()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Knows what is at hand.

    Attributes:
        profile: that is filled.
        caches: to choose from, those given first win.
        store: of the runs.
        seeds: of the runs.
        tasks: names of tasks that are run, the paper's or ours; None for all.
    """

    profile: Profile
    caches: Sequence[TeacherCache]
    store: Path
    seeds: Sequence[int]
    tasks: frozenset[str] | None = None

    def plan(self, study: Study) -> Plan:
        """The runs of a study.

        Raises:
            ArmadaError: a student's folder cannot be one, or an option cannot be right.
        """
        plan, stands_for = Plan(), dict[str, str]()
        asked = {
            cell.key.task: cell.key.teacher
            for cell in reversed(study.cells)
            if cell.key.teacher in self.profile.teachers
        }
        for cell in study.cells:
            try:
                plan.readings.append(self._reading(cell, stands_for, asked))
            except _NotRunError as reason:
                plan.missing[cell.key] = str(reason)
                if reason.advice and reason.advice not in plan.advice:
                    plan.advice.append(reason.advice)
        return plan

    def _reading(self, cell: Cell, stands_for: dict[str, str], asked: Mapping[str, str]) -> Reading:
        task = self._task(cell.key.task, stands_for)
        student = self.profile.students.get(cell.trained)
        if student is None:
            raise _NotRunError(f"nothing stands for {cell.trained} in profile {self.profile.name}")
        chosen = self._cache(cell, task, asked)
        if student.path is None:
            raise _NotRunError(f"no student given for {cell.trained}", f"give --students {cell.trained}=PATH")
        _check_folder(cell.trained, student)
        runs = {seed: self._run(cell, task, student, chosen, seed) for seed in self.seeds}
        return Reading(cell, cell.head, task.metric_of(cell.key.metric), runs)

    def _task(self, name: str, stands_for: dict[str, str]) -> Task:
        """What is learnt where the paper has this task; within a study it stands for one task only."""
        task = self.profile.tasks.get(name)
        if task is None:
            raise _NotRunError(f"nothing stands for {name} in profile {self.profile.name}")
        if self.tasks is not None and not {name, task.name} & self.tasks:
            raise _NotRunError(LEFT_OUT)
        first = stands_for.setdefault(task.name, name)
        if not task.is_own and first != name:
            raise _NotRunError(f"{task.name} stands for {first} here already")
        return task

    def _cache(self, cell: Cell, task: Task, asked: Mapping[str, str]) -> TeacherCache:
        """The cache that a cell reads; an undistilled run takes the first of its task, whoever answered.

        Where it has none, the one to make is that of the first teacher that the study asks about the task.
        """
        own = [one for one in self.caches if one.manifest.request.task == task.name]
        if not cell.key.teacher:
            if own:
                return own[0]
            raise self._no_cache(task, asked.get(cell.key.task, ""), "any teacher")
        teacher = self.profile.teachers.get(cell.key.teacher)
        if teacher is None:
            raise _NotRunError(f"nothing stands for {cell.key.teacher} in profile {self.profile.name}")
        if fitting := [one for one in own if teacher.fits(one.manifest.teacher)]:
            return fitting[0]
        raise self._no_cache(task, cell.key.teacher, teacher.wants)

    def _no_cache(self, task: Task, name: str, wants: str) -> "_NotRunError":
        reason, teacher = f"no cache of {task.name} with {wants}", self.profile.teachers.get(name)
        if teacher is None:
            return _NotRunError(reason)
        return _NotRunError(reason, f"give --shards DIR of one: {self.profile.line_for(teacher, task.name)}")

    def _run(self, cell: Cell, task: Task, student: Student, chosen: TeacherCache, seed: int) -> Run:
        assert student.path is not None, "refused before"
        options = dict(cell.options)
        given: dict[str, Any] = {
            **self.profile.options.get(task.name, {}),
            **student.options,
            **options,
            "task": task.name,
            "student": student.path,
            "seed": seed,
        }
        config = resolve(given, chosen.manifest.teacher.modality)
        try:
            check_signals(config, chosen.manifest, chosen.folder)
        except ArmadaError as error:
            raise _NotRunError(str(error)) from None
        digest = digest_of_run(config, chosen.manifest.digest, _digest_of_student(student.path))
        return Run(config, chosen, digest, folder_in(self.store, config, digest))


class _NotRunError(Exception):
    """A cell cannot be run here, and why."""

    def __init__(self, reason: str, advice: str | None = None) -> None:
        super().__init__(reason)
        self.advice = advice


def _check_folder(name: str, student: Student) -> None:
    """Refuse a student that is not there, by the option that gives one here."""
    assert student.path is not None, "refused before"
    if is_hub_name(student.path) or Path(student.path).is_dir():
        return
    wanted = f"run {student.made_by} (make tables-mini does)" if student.made_by else "correct it"
    raise StudentError(
        f"--students {name}={student.path}: no such folder; {wanted}, or give --students {name}=PATH"
    )


# Hundreds of runs share a student, and its files are hashed whole.
_digest_of_student = cache(digest_of_student)


def open_caches(places: Iterable[str]) -> list[TeacherCache]:
    """Open caches without reading them whole; a run reads and checks its own.

    Args:
        places: folders, or URLs that are copied to this machine first.

    Raises:
        CacheError: one cannot be used, or two are the same.
    """
    found: dict[str, TeacherCache] = {}
    for place in places:
        if not place:
            raise ConfigError("--shards is empty; give the folder of a teacher cache")
        one = open_cache(local_copy(place), verify=False)
        if other := found.get(one.manifest.digest):
            raise CacheError(f"--shards {place} is the cache of {other.folder} again; give each once")
        found[one.manifest.digest] = one
    return list(found.values())


def with_students(profile: Profile, given: Iterable[str]) -> dict[str, Student]:
    """The profile's students with paths from `--students NAME=PATH`.

    Raises:
        ConfigError: an entry is not of that form, or names no model of the paper.
    """
    students = dict(profile.students)
    for entry in given:
        name, equals, path = entry.partition("=")
        if not equals or not path:
            raise ConfigError(f"--students {entry}: wanted NAME=PATH, such as bert-base=models/bert-base")
        if name not in students:
            raise ConfigError(f"--students {entry}: no such model; choose from {', '.join(sorted(students))}")
        students[name] = replace(students[name], path=path, made_by=None)
    return students
