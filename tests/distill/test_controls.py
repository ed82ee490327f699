import numpy as np
import pytest

from distill.controls import donors, noise, sigma_of


def test_shuffle_is_one_permutation_for_a_seed() -> None:
    taught = np.ones(50, bool)
    first = donors("shuffle", taught, 1)
    assert first is not None
    assert sorted(first) == list(range(50))
    assert (first != np.arange(50)).sum() > 40
    assert np.array_equal(first, donors("shuffle", taught, 1))
    assert not np.array_equal(first, donors("shuffle", taught, 2))


def test_shuffle_gives_nobody_what_is_not_there() -> None:
    taught = np.arange(50) % 3 > 0
    rows = donors("shuffle", taught, 1)
    assert rows is not None
    assert taught[rows[taught]].all()


@pytest.mark.parametrize("control", ["none", "noise:2"])
def test_other_controls_leave_rows_with_their_own(control: str) -> None:
    assert donors(control, np.ones(5, bool), 0) is None


def test_noise_has_its_spread_and_is_drawn_anew_each_pass() -> None:
    assert sigma_of("noise:2.5") == 2.5
    assert sigma_of("shuffle") == 0
    first = noise((200, 50), 2.5, 0, (0, 1, 3))
    assert first.std() == pytest.approx(2.5, rel=0.02)
    assert np.array_equal(first, noise((200, 50), 2.5, 0, (0, 1, 3)))
    assert not np.array_equal(first, noise((200, 50), 2.5, 0, (1, 1, 3)))
