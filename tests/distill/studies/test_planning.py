"""Which student, cache and options each cell gets, and what is said where there are none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from distill.studies import STUDIES
from distill.studies.grids import losses, undistilled
from distill.studies.mini_profile import MINI, SPEECH
from distill.studies.paper_profile import PAPER
from distill.studies.planning import Planner, open_caches, with_students
from distill.studies.profile import Profile
from distill.studies.profiles import PROFILES
from distill.studies.study import Study
from schemas.cache import TeacherCache
from schemas.errors import CacheError, ConfigError, StudentError
from schemas.manifest import TeacherIdentity
from schemas.tasks import TASKS
from tests.distill.studies.tiny_studies import STUDY


def test_a_cell_gets_one_run_a_seed_with_its_own_options(planner: Planner) -> None:
    plan = planner.plan(STUDY)
    labels = {(run.config.label, run.config.seed) for run in plan.runs.values()}

    assert len(plan.readings) == 4
    assert labels == {
        (label, seed)
        for label in ("undistilled-none", "armada-cosine", "armada-euclid", "armada-elementwise")
        for seed in (1, 2)
    }
    assert {run.config.max_length for run in plan.runs.values()} == {32}


def test_why_a_cell_is_not_run_is_said(planner: Planner) -> None:
    missing = planner.plan(STUDY).missing
    said = {(key.model, key.task): reason for key, reason in missing.items() if key.variant == "undistilled"}

    assert said["opt-1.3b", "CoLA"] == "nothing stands for opt-1.3b in profile tiny"
    assert said["bert-base", "RTE"] == "no cache of product-reviews with any teacher"


def test_a_missing_cache_comes_with_the_line_that_makes_it(planner: Planner) -> None:
    (line,) = planner.plan(STUDY).advice

    assert line == (
        "give --shards DIR of one: cache-teacher --model speech:a+b --task product-reviews "
        "--out data/shards/tiny/product-reviews"
    )


def test_the_small_world_s_lines_are_those_of_its_target(tmp_path: Path) -> None:
    planner = Planner(profile=MINI, caches=[], store=tmp_path, seeds=(1,))
    advised = {line.partition(": ")[2] for study in STUDIES.values() for line in planner.plan(study).advice}
    makefile = (Path(__file__).resolve().parents[3] / "Makefile").read_text(encoding="utf-8")

    assert len(advised) == 4
    for line in advised:
        shown = line.replace(SPEECH, "$(TEACHER)").replace("data/shards/mini", "$(MINI_SHARDS)")
        in_loop = shown.replace(line.rpartition("/")[2], "$$task")
        assert f"$(BIN)/{shown}\n" in makefile or f"$(BIN)/{in_loop} ||" in makefile


def test_a_bundled_task_stands_for_one_task_within_a_study(planner: Planner) -> None:
    cells = (*undistilled(("bert-base",), ("CoLA", "SST-2")),)
    plan = planner.plan(Study(name="table99", title="", cells=cells))

    assert [reading.cell.key.task for reading in plan.readings] == ["CoLA"]
    assert list(plan.missing.values()) == ["movie-sentiment stands for CoLA here already"]


def test_a_teacher_finds_its_own_cache_and_an_undistilled_run_the_first(
    profile: Profile, cache: TeacherCache, make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    pictures = make_cache(tmp_path / "pictures", modality="image")
    planner = Planner(profile=profile, caches=[pictures, cache], store=tmp_path, seeds=(1,))
    found = {
        reading.cell.key.variant: reading.runs[1].cache.manifest.teacher.modality
        for reading in planner.plan(STUDY).readings
    }

    assert (found["undistilled"], found["euclid"]) == ("image", "audio")


def test_a_cache_without_what_a_method_reads_is_a_reason(
    profile: Profile, make_cache, tmp_path: Path
) -> None:
    texts = make_cache(tmp_path / "none", width=None)
    everyone = replace(
        profile,
        teachers={
            "stable-diffusion-v1-4": replace(profile.teachers["stable-diffusion-v1-4"], fits=lambda _: True)
        },
    )
    plan = Planner(profile=everyone, caches=[texts], store=tmp_path, seeds=(1,)).plan(
        Study(name="table99", title="", cells=losses(("bert-base",), "stable-diffusion-v1-4", ("CoLA",)))
    )

    assert plan.readings == []
    assert all("keeps no representations" in reason for reason in plan.missing.values())


def test_a_filter_of_tasks_takes_either_name(planner: Planner) -> None:
    for names in ({"CoLA"}, {"movie-sentiment"}):
        assert len(replace(planner, tasks=frozenset(names)).plan(STUDY).readings) == 4
    assert replace(planner, tasks=frozenset({"RTE"})).plan(STUDY).readings == []


@pytest.mark.parametrize("given", [False, True])
def test_a_student_that_is_not_there_comes_with_what_makes_it(
    planner: Planner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    shallow = replace(planner.profile, students={"bert-base": MINI.students["bert-6l"]})
    if given:
        shallow = replace(shallow, students=with_students(shallow, ["bert-base=models/some/folder"]))
    with pytest.raises(StudentError) as caught:
        replace(planner, profile=shallow).plan(STUDY)
    found, advice = str(caught.value).split("; ")
    folder = "models/some/folder" if given else "data/models/minilm-3l"
    assert found == f"--students bert-base={folder}: no such folder"
    made_by = "python data/first_layers.py data/models/minilm 3 data/models/minilm-3l"
    assert (made_by in advice) is not given
    assert advice.endswith("or give --students bert-base=PATH")


def test_students_are_given_by_name_and_path() -> None:
    given = with_students(PAPER, ["bert-base=some/folder"])

    assert given["bert-base"].path == "some/folder"
    assert given["bert-6l"].path is None
    with pytest.raises(ConfigError, match="wanted NAME=PATH"):
        with_students(PAPER, ["bert-base"])
    with pytest.raises(ConfigError, match="no such model; choose from bert-6l, bert-base"):
        with_students(PAPER, ["gpt=some/folder"])


def test_a_cache_that_is_given_twice_is_refused(cache: TeacherCache) -> None:
    with pytest.raises(CacheError, match="again; give each once"):
        open_caches([str(cache.folder), str(cache.folder)])
    with pytest.raises(ConfigError, match="--shards is empty"):
        open_caches([""])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_name_of_a_profile_is_one_that_exists(profile: Profile) -> None:
    cells = [cell for study in STUDIES.values() for cell in study.cells]
    for task in profile.tasks.values():
        assert task.name in TASKS
        assert task.part is None or task.part in TASKS[task.name].parts

    assert set(profile.tasks) <= {cell.key.task for cell in cells}
    assert set(profile.students) <= {cell.trained for cell in cells}
    assert set(profile.teachers) <= {cell.key.teacher for cell in cells}


def test_the_paper_s_profile_has_every_name_of_every_study() -> None:
    for study in STUDIES.values():
        for cell in study.cells:
            assert cell.key.task in PAPER.tasks, study.name
            assert cell.trained in PAPER.students, study.name
            assert cell.key.teacher in ("", *PAPER.teachers), study.name
            assert PAPER.tasks[cell.key.task].metric_of(cell.key.metric)


def test_a_lora_makes_midjourney_of_stable_diffusion() -> None:
    plain = TeacherIdentity(backend="diffusers", name="sd", revision="1", modality="image", repr_dim=1024)
    adapted = plain.model_copy(update={"hashes": {"adapter": "abc"}})
    fits = {name: teacher.fits for name, teacher in PAPER.teachers.items()}

    assert fits["stable-diffusion-v1-4"](plain)
    assert not fits["stable-diffusion-v1-4"](adapted)
    assert fits["midjourney"](adapted)
    assert not fits["midjourney"](plain)


def test_the_mini_profile_says_that_nothing_in_it_is_the_paper_s() -> None:
    assert not any(
        one.is_own for one in (*MINI.students.values(), *MINI.tasks.values(), *MINI.teachers.values())
    )
    assert "nothing below reproduces a number of the paper" in MINI.remarks[0]
