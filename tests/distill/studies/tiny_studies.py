"""A small study and profile, and a fit that needs no model: it leaves what a run leaves."""

import os
import signal
from pathlib import Path

from distill.config import options_of
from distill.store import _LEFT_BEHIND
from distill.studies.grids import losses, undistilled
from distill.studies.planning import Planner, Run, open_caches
from distill.studies.profile import Profile, Student, Task, Teacher
from distill.studies.running import make
from distill.studies.study import Study
from schemas.cache import TeacherCache
from schemas.result import CacheOrigin, RunResult, write_result

SPEECH = Teacher(
    fits=lambda one: one.modality == "audio",
    model="speech:a+b",
    folder="data/shards/tiny",
    wants="speech",
    is_own=False,
)
STUDY = Study(
    name="table02",
    title="Students on small tasks",
    cells=(
        *undistilled(("bert-base", "opt-1.3b"), ("CoLA", "RTE")),
        *losses(("bert-base",), "stable-diffusion-v1-4", ("CoLA", "RTE")),
    ),
    prints=("table02",),
)


def value_of(run: Run) -> float:
    """A made-up metric of a run: the same each time, and another for each run."""
    return int(run.digest[:4], 16) / 0xFFFF


def leave(run: Run, cache: TeacherCache) -> RunResult:
    """Leave what a finished run leaves, its log first."""
    (run.folder / "metrics.jsonl").write_text("{}\n")
    for pattern in (*_LEFT_BEHIND, "aligner.safetensors"):
        path = run.folder / pattern.replace("*", "model")
        path.parent.mkdir(exist_ok=True)
        path.write_text("something")
    result = RunResult(
        config={**options_of(run.config), "student": Path(run.config.student).name},
        config_hash=run.digest,
        cache=CacheOrigin(name="cache", digest="d" * 64, teacher=cache.manifest.teacher, rows=128),
        protocol="held-out",
        metrics={"student": {"matthews": value_of(run)}},
        selection={"epoch": 1, "metric": "accuracy", "value": 0.5},
        num_rows={"train": 80, "select": 10, "report": 32},
        num_parameters={},
        seconds={"total": 2.0},
        peak_memory_bytes={"process": 10**9},
        versions={"python": "3.11"},
        device="cpu (1 threads), fp32",
    )
    write_result(run.folder, result)
    return result


def profile_of(student: Path) -> Profile:
    """One student, two tasks, one teacher."""
    return Profile(
        name="tiny",
        students={"bert-base": Student(path=str(student), is_own=False)},
        tasks={
            "CoLA": Task(name="movie-sentiment", is_own=False),
            "SST-2": Task(name="movie-sentiment", is_own=False),
            "RTE": Task(name="product-reviews", is_own=False),
        },
        teachers={"stable-diffusion-v1-4": SPEECH},
        seeds=(1, 2),
        options={"movie-sentiment": {"max_length": 32, "batch_size": 16, "epochs": 1, "precision": "fp32"}},
    )


def fill(student: Path, cache: Path, store: Path, journal: Path, killed_at: int = 0) -> None:
    """Fill a store, and write down each run that is begun, perhaps to be killed in one."""
    planner = Planner(
        profile=profile_of(student), caches=open_caches([str(cache)]), store=store, seeds=(1, 2, 3, 4)
    )

    def fit(run: Run, opened: TeacherCache) -> RunResult:
        with journal.open("a") as lines:
            lines.write(f"{run.folder.name}\n")
        if len(journal.read_text().split()) == killed_at:
            (run.folder / "metrics.jsonl").write_text("{}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return leave(run, opened)

    make(planner.plan(STUDY).runs.values(), fit=fit, quiet=True)
