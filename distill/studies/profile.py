"""A profile: what stands for the paper's models, teachers and tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.manifest import TeacherIdentity

METRIC_NAMES = {
    "mcc": "matthews",
    "accuracy": "accuracy",
    "pearson": "pearson",
    "f1_micro": "micro_f1",
    "f1_macro": "macro_f1",
    "rouge_l": "rouge_l",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """What is trained where the paper has a model.

    Attributes:
        path: a folder or hub name; None where the user gives it (`--students`).
        options: of `distill` that go with it, such as an adapter's rank.
        made_by: the commands that make a folder of ours; None for one that the user gave.
        is_own: it is the paper's model.
    """

    path: str | None = None
    made_by: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_own: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is learnt where the paper has a task.

    Attributes:
        name: row of TASKS.
        part: of its reported rows, where they fall into several.
        metric: name in `run.json`, where the paper's has another there.
        is_own: it is the paper's task.
    """

    name: str
    part: str | None = None
    metric: str | None = None
    is_own: bool = True

    def metric_of(self, printed: str) -> str:
        """What `run.json` calls a metric of the paper."""
        name = self.metric if self.metric and printed == "accuracy" else METRIC_NAMES[printed]
        return f"{name}/{self.part}" if self.part else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Whose cache is read where the paper has a teacher.

    Attributes:
        fits: whether a cache's teacher is one.
        model: `--model` of the `cache-teacher` line that makes such a cache.
        options: of that line beside the model, what it asks and keeps.
        folder: below which that line puts a folder for each task.
        wants: what a fitting cache is, in words.
        is_own: it is the paper's teacher.
    """

    fits: Callable[[TeacherIdentity], bool]
    model: str
    options: str = ""
    folder: str
    wants: str
    is_own: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One way to fill the paper's tables.

    Attributes:
        name: on the command line.
        students: by the paper's name of a model; what is not there is not run.
        tasks: by the paper's name of a task, likewise.
        teachers: by the paper's name of a teacher, likewise.
        seeds: of the runs.
        options: of `distill`, by task, where they are not the recipe's.
        rows: options of a `cache-teacher` line that say which rows are asked, by task.
        remarks: what a reader must know before any number, one line each.
    """

    name: str
    students: Mapping[str, Student]
    tasks: Mapping[str, Task]
    teachers: Mapping[str, Teacher]
    seeds: tuple[int, ...] = (42, 43, 44)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    rows: Mapping[str, str] = field(default_factory=dict[str, str])
    remarks: tuple[str, ...] = ()

    def line_for(self, teacher: Teacher, task: str) -> str:
        """The line that makes a teacher's cache of a task of ours, in a folder of its own."""
        words = ("cache-teacher", "--model", teacher.model, teacher.options, "--task", task)
        words += (self.rows.get(task, ""), "--out", f"{teacher.folder}/{task.replace('/', '-')}")
        return " ".join(filter(None, words))
