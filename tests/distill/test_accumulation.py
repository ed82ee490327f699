import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.accumulation import Portion, num_steps, portion


def test_alone_a_batch_is_a_whole_step() -> None:
    assert portion(3, 10, 1) == Portion()


def test_the_last_step_of_a_pass_has_what_is_left() -> None:
    assert [portion(batch, 5, 3) for batch in range(5)] == [
        Portion(1 / 3, ends=False),
        Portion(1 / 3, ends=False),
        Portion(1 / 3, ends=True),
        Portion(1 / 2, ends=False),
        Portion(1 / 2, ends=True),
    ]


@given(st.integers(1, 60), st.integers(1, 20))
def test_shares_of_each_step_sum_to_one(num_batches: int, accumulate: int) -> None:
    portions = [portion(batch, num_batches, accumulate) for batch in range(num_batches)]
    steps = sum(one.ends for one in portions)
    assert steps == num_steps(num_batches, accumulate)
    assert sum(one.share for one in portions) == pytest.approx(steps)
    assert portions[-1].ends
