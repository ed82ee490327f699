import pytest

from distill.rules import SCHEDULES as NAMES
from distill.schedules import (
    ALIGNER,
    SCHEDULES,
    STUDENT,
    Pass,
    Schedule,
    alternating,
    joint,
    pretrained,
    student_only,
)


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
    places = [(one.epoch, one.number) for one in schedule(3) if STUDENT in one.trains]
    assert places == [(one.epoch, one.number) for one in student_only(3)]


def test_joint_trains_both_on_every_batch() -> None:
    assert [one.trains for one in joint(2)] == [(ALIGNER, STUDENT)] * 2


def test_pretrained_ends_the_aligner_before_the_student_begins() -> None:
    assert [one.trains for one in pretrained(3)] == [(ALIGNER,)] * 3 + [(STUDENT,)] * 3


def test_frozen_never_trains_the_aligner() -> None:
    assert all(ALIGNER not in one.trains for one in SCHEDULES["frozen"](3))


@pytest.mark.parametrize("name", ["alternating", "joint", "pretrained"])
def test_the_aligner_has_as_many_epochs_as_the_student(name: str) -> None:
    for tower in (ALIGNER, STUDENT):
        assert sorted(one.epoch for one in SCHEDULES[name](3) if tower in one.trains) == [0, 1, 2]
