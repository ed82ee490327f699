import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.rates import SHAPES, rate_of
from distill.rules import LR_SCHEDULES


def test_configuration_and_table_name_the_same_shapes() -> None:
    assert set(LR_SCHEDULES) == set(SHAPES)


def test_by_hand() -> None:
    linear = rate_of("linear", 0.4, 5)
    assert [linear(step) for step in range(5)] == pytest.approx([1 / 2, 1, 1, 2 / 3, 1 / 3])
    constant = rate_of("constant", 0.4, 5)
    assert [constant(step) for step in range(5)] == pytest.approx([1 / 2, 1, 1, 1, 1])


@given(st.sampled_from(LR_SCHEDULES), st.floats(0, 1), st.integers(1, 300))
def test_every_step_is_learnt_from_and_none_above_the_rate(shape: str, warmup: float, steps: int) -> None:
    rate = rate_of(shape, warmup, steps)
    assert all(0 < rate(step) <= 1 for step in range(steps))


def test_without_warm_up_a_constant_rate_is_exactly_that() -> None:
    rate = rate_of("constant", 0.0, 100)
    assert {rate(step) for step in range(101)} == {1.0}


def test_a_tower_that_never_steps_has_a_rate_too() -> None:
    assert rate_of("linear", 0.5, 0)(0) == 1.0
