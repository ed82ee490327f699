"""Mean and variance of the training split's representations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from schemas.cache import open_cache
from schemas.rows import representations
from teacher_cache.statistics import Moments


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_groups_of_any_size_give_the_moments_of_all(sizes: list[int], seed: int) -> None:
    groups = [np.random.default_rng(seed).normal(5, 2, (size, 3)) for size in sizes]
    moments = Moments(3)
    for group in groups:
        moments.add(group)

    everything = np.concatenate(groups)
    assert moments.count == len(everything)
    if len(everything):
        np.testing.assert_allclose(moments.mean_d, everything.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.variance_d, everything.var(axis=0), rtol=1e-9, atol=1e-12)


def test_the_file_holds_the_training_split_alone(
    prompts: Callable[..., Path], run: Callable[..., Any], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("FAST_FAIL", "row-3")
    run(prompts(40))

    values = []
    for _, shard in open_cache(tmp_path / "cache").shards("train"):
        values_Rd, present_R = representations(shard.read(["teacher_repr"])["teacher_repr"])
        values.append(values_Rd[present_R].astype(np.float64))
    everything = np.concatenate(values)
    stats = load_file(tmp_path / "cache" / "stats.safetensors")
    assert stats["count"] == 27 == len(everything)
    assert stats["mean"].dtype == stats["variance"].dtype == np.float64
    np.testing.assert_allclose(stats["mean"], everything.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["variance"], everything.var(axis=0), rtol=1e-12)
    modes = {path.stat().st_mode for path in (tmp_path / "cache").glob("[!.]*.*")}
    assert len(modes) == 1
