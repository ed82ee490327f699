"""The projection of very wide representations: the same for ever, linear, and true to distances."""

import numpy as np

from teacher_cache.teachers.random_projection import RandomProjection


def test_it_is_the_same_for_ever() -> None:
    """Hand-made once from the raw output of PCG64; a cache of years ago must be continued with the same."""
    found = RandomProjection(wide=3, narrow=4, seed=0)(np.array([1.0, 10.0, 100.0]))
    raw = np.random.PCG64(0).random_raw(24)
    wanted = [0.0] * 4
    for index, number in enumerate(raw.tolist()):
        sign = -1 if number % 2 else 1
        wanted[(number >> 32) % 4] += sign * (1.0, 10.0, 100.0)[index // 8] / 8**0.5

    assert raw[:2].tolist() == [11749869230777074271, 4976686463289251617]
    assert np.allclose(found, wanted)


def test_it_is_linear_and_another_seed_is_another_map() -> None:
    values = np.random.default_rng(0).normal(size=(2, 500))
    project = RandomProjection(500, 50, seed=3)

    assert np.allclose(project(values[0]) + 2 * project(values[1]), project(values[0] + 2 * values[1]))
    assert not np.allclose(project(values[0]), RandomProjection(500, 50, seed=4)(values[0]))


def test_distances_and_angles_survive() -> None:
    """The error of a squared distance is about the root of 2 / K: 4.4 % of it for K = 1,024."""
    values = np.random.default_rng(1).normal(size=(20, 20_000)) + 0.3
    project = RandomProjection(20_000, 1024, seed=0)
    narrow = np.stack([project(row) for row in values])
    pairs = [(a, b) for a in range(20) for b in range(a)]
    ratios = [np.sum((narrow[a] - narrow[b]) ** 2) / np.sum((values[a] - values[b]) ** 2) for a, b in pairs]

    assert abs(np.mean(ratios) - 1) < 0.02
    assert np.std(ratios) < 2 * (2 / 1024) ** 0.5
