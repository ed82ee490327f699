import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill import order as order_module
from distill.order import GROUPS_PER_WINDOW, ROWS_PER_WINDOW, Kept, Order

group_sizes = st.lists(st.integers(0, 30), min_size=1, max_size=12)


def make(sizes: list[int], batch_size: int = 4, seed: int = 0, keep: float = 1.0) -> Order:
    random = np.random.default_rng(len(sizes))
    rows, group_starts = sum(sizes), np.array([0, *np.cumsum(sizes)], np.int64)
    return Order(
        seed=seed,
        batch_size=batch_size,
        group_starts=group_starts,
        kept=Kept.of(random.random(rows) < keep, group_starts),
        lengths_R=random.integers(1, 20, rows).astype(np.int32),
    )


def flat(order: Order, epoch: int = 0, passage: int = 0, start: int = 0) -> list[list[int]]:
    return [batch.tolist() for _, batches in order.batches(epoch, passage, start) for batch in batches]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_module, "ROWS_PER_WINDOW", 40)
    monkeypatch.setattr(order_module, "GROUPS_PER_WINDOW", 3)


@given(sizes=group_sizes, batch_size=st.integers(1, 9), keep=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_every_kept_row_comes_once(sizes: list[int], batch_size: int, keep: float) -> None:
    order = make(sizes, batch_size, keep=keep)
    batches = flat(order)
    assert sorted(row for batch in batches for row in batch) == np.flatnonzero(order.kept.mask()).tolist()
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert len(batches) == order.num_batches(0, 0)


@given(sizes=group_sizes, batch_size=st.integers(1, 9), data=st.data())
@settings(max_examples=60, deadline=None)
def test_goes_on_from_any_batch(sizes: list[int], batch_size: int, data: st.DataObject) -> None:
    order = make(sizes, batch_size)
    whole = flat(order, 3, 1)
    start = data.draw(st.integers(0, len(whole)))
    assert flat(order, 3, 1, start) == whole[start:]


@given(sizes=group_sizes, data=st.data())
@settings(max_examples=60, deadline=None)
def test_rows_in_use_are_those_of_the_mask(sizes: list[int], data: st.DataObject) -> None:
    rows_R = np.array(data.draw(st.lists(st.booleans(), min_size=sum(sizes), max_size=sum(sizes))), bool)
    starts = np.array([0, *np.cumsum(sizes)], np.int64)
    kept = Kept.of(rows_R, starts)
    assert (kept.mask().tolist(), kept.total) == (rows_R.tolist(), int(rows_R.sum()))
    for first, end, count in zip(starts[:-1].tolist(), starts[1:].tolist(), kept.counts_G, strict=True):
        assert kept.between(first, end).tolist() == [row for row in range(first, end) if rows_R[row]]
        assert count == rows_R[first:end].sum()


def peak_of(num_groups: int, lengths: Path) -> int:
    """Bytes that an order of groups of 1,000 rows takes, and its first 50 batches and those of 90 %."""
    np.lib.format.open_memmap(lengths, "w+", np.int32, (1000 * num_groups,)).flush()
    group_starts = np.arange(num_groups + 1, dtype=np.int64) * 1000
    kept = Kept.of(np.ones(1000 * num_groups, bool), group_starts)
    tracemalloc.start()
    order = Order(
        seed=0, batch_size=32, group_starts=group_starts, kept=kept, lengths_R=np.load(lengths, mmap_mode="r")
    )
    for start in (0, int(0.9 * order.num_batches(0, 0))):
        for _ in zip(range(50), order.batches(0, 0, start), strict=False):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak + kept.bits.nbytes + kept.counts_G.nbytes + group_starts.nbytes


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit a row and some values a row group, whatever else a window takes."""
    monkeypatch.setattr(order_module, "ROWS_PER_WINDOW", ROWS_PER_WINDOW)
    monkeypatch.setattr(order_module, "GROUPS_PER_WINDOW", GROUPS_PER_WINDOW)
    _, small, large = (peak_of(num_groups, tmp_path / "lengths.npy") for num_groups in (500, 500, 10_000))
    assert (large - small) / 9_500_000 < 0.2


def test_same_for_one_seed_and_another_for_each_epoch_pass_and_seed() -> None:
    sizes = [30, 20, 25]
    first = flat(make(sizes))
    assert first == flat(make(sizes))
    others = [flat(make(sizes), 1, 0), flat(make(sizes), 0, 1), flat(make(sizes, seed=1))]
    assert all(first != other for other in others)


def test_rows_of_a_batch_have_like_lengths() -> None:
    order = make([40])
    spreads = [np.ptp(order.lengths_R[batch]) for batch in flat(order)]
    assert np.mean(spreads) < 3


def test_batches_do_not_come_by_length() -> None:
    order = make([40])
    lengths = [order.lengths_R[batch].max() for batch in flat(order)]
    assert any(left > right for left, right in pairwise(lengths))


def test_a_window_is_bounded_in_rows_and_groups() -> None:
    order = make([30] * 4 + [1] * 9)
    for window in order.windows(0, 0):
        assert len(window.groups) <= 3
        rows = [order.group_starts[group + 1] - order.group_starts[group] for group in window.groups]
        assert sum(rows[:-1]) < 40


def test_earlier_windows_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    order, computed = make([30] * 6), []
    cut = Order.cut
    monkeypatch.setattr(
        Order, "cut", lambda self, window, *place: computed.append(window.index) or cut(self, window, *place)
    )
    last = order.num_batches(0, 0) - 1
    assert len(flat(order, start=last)) == 1
    assert computed == [len([*order.windows(0, 0)]) - 1]
