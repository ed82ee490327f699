import pytest

from distill.config import SCHEDULES as NAMES
from distill.schedules import ALIGNER, SCHEDULES, STUDENT, Pass, Schedule, alternating, student_only


def test_configuration_and_table_name_the_same_schedules() -> None:
    assert set(NAMES) == set(SCHEDULES)


def test_alternating_trains_the_aligner_first_in_each_epoch() -> None:
    assert alternating(2) == [
        Pass(0, 0, (ALIGNER,)),
        Pass(0, 1, (STUDENT,)),
        Pass(1, 0, (ALIGNER,)),
        Pass(1, 1, (STUDENT,)),
    ]


@pytest.mark.parametrize("schedule", [*SCHEDULES.values()])
def test_the_students_passes_are_those_of_an_undistilled_run(schedule: Schedule) -> None:
    assert [one for one in schedule(3) if one.trains == (STUDENT,)] == student_only(3)
