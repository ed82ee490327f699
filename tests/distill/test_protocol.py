import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill import protocol
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


@given(
    rows=st.integers(2, 500),
    seed=st.integers(0, 2**32 - 1),
    limit=st.none() | st.integers(0, 600),
    share=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_rows_are_the_first_by_a_sort(rows: int, seed: int, limit: int | None, share: float) -> None:
    """Rows are counted, not sorted, a part at a time; a sort says which they are."""
    usable = np.random.default_rng(seed).random(rows) < share
    chosen = np.flatnonzero(usable)
    ordered = chosen[np.argsort(protocol._mix(HASHES[chosen], seed))]
    num_held = -(-len(chosen) // 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "_ROWS", 7)
        division = held_out(HASHES[:rows], usable, seed, limit)
        everything = paper_dev(HASHES[:rows], usable, seed, limit)

    assert np.flatnonzero(division.select_R).tolist() == sorted(ordered[:num_held])
    assert np.flatnonzero(division.train_R).tolist() == sorted(ordered[num_held:][:limit])
    assert np.flatnonzero(everything.train_R).tolist() == sorted(ordered[:limit])


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
