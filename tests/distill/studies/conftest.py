from pathlib import Path

import pytest

from distill.studies.planning import Planner, Run
from distill.studies.profile import Profile
from schemas.cache import TeacherCache
from tests.distill.studies.tiny_studies import STUDY, profile_of


@pytest.fixture(scope="session")
def profile(tiny_student: Path) -> Profile:
    return profile_of(tiny_student)


@pytest.fixture
def planner(profile: Profile, cache: TeacherCache, tmp_path: Path) -> Planner:
    return Planner(profile=profile, caches=[cache], store=tmp_path / "store", seeds=profile.seeds)


@pytest.fixture
def runs(planner: Planner) -> list[Run]:
    return list(planner.plan(STUDY).runs.values())
