import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.protocol import PROTOCOLS, held_out, paper_dev
from distill.rules import PROTOCOLS as NAMES

HASHES = np.random.default_rng(0).integers(0, 2**64, 500, np.uint64)
ALL = np.ones(500, bool)


@given(rows=st.integers(2, 500), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_tenth_is_held_out_and_the_rest_trains(rows: int, seed: int) -> None:
    division = held_out(HASHES[:rows], ALL[:rows], seed, None)
    assert division.select_R.sum() == -(-rows // 10)
    assert (division.train_R ^ division.select_R).all()


def test_membership_does_not_hang_on_the_order_of_rows() -> None:
    order = np.random.default_rng(1).permutation(500)
    assert np.array_equal(
        held_out(HASHES[order], ALL, 7, None).select_R, held_out(HASHES, ALL, 7, None).select_R[order]
    )


def test_another_seed_holds_out_others() -> None:
    first, second = (held_out(HASHES, ALL, seed, None).select_R for seed in (1, 2))
    assert (first & second).sum() < 20


def test_a_larger_limit_keeps_the_rows_of_a_smaller() -> None:
    small, large = (held_out(HASHES, ALL, 3, limit) for limit in (50, 200))
    assert small.train_R.sum() == 50
    assert (small.train_R <= large.train_R).all()
    assert np.array_equal(small.select_R, large.select_R)


def test_unusable_rows_are_in_neither() -> None:
    usable = ALL.copy()
    usable[::3] = False
    division = held_out(HASHES, usable, 0, None)
    assert not (division.train_R | division.select_R)[::3].any()


def test_configuration_and_table_name_the_same_protocols() -> None:
    assert set(NAMES) == set(PROTOCOLS)


def test_paper_dev_holds_nothing_out() -> None:
    usable = ALL.copy()
    usable[::3] = False
    division = paper_dev(HASHES, usable, 0, None)
    assert division.select_R is None
    assert np.array_equal(division.train_R, usable)
    small, large = (paper_dev(HASHES, usable, 0, limit).train_R for limit in (50, 200))
    assert small.sum() == 50
    assert (small <= large).all()
