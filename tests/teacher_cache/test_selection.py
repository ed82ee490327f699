"""Which rows a limit keeps."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from schemas.example import Example
from teacher_cache.selection import in_split_order, limited

SIZES = st.tuples(st.integers(1, 60), st.integers(0, 30), st.integers(0, 20))


def examples(sizes: tuple[int, ...]) -> list[Example]:
    return [
        Example(id=f"{split}-{index}", task="free", split=split, fields={})
        for split, size in zip(("train", "validation", "test"), sizes, strict=True)
        for index in range(size)
    ]


@given(SIZES, st.integers(1, 120), st.integers(1, 120))
def test_a_lower_limit_takes_a_subset_in_the_same_order(sizes: tuple[int, ...], one: int, other: int) -> None:
    rows = examples(sizes)
    few, many = limited(rows, min(one, other)), limited(rows, max(one, other))

    assert len(few) == min(one, other, len(rows))
    chosen = {example.id for example in few}
    assert few == [example for example in many if example.id in chosen]
    assert many == [example for example in rows if example in many]


@given(SIZES, st.integers(1, 110))
def test_every_split_has_its_share_within_a_row(sizes: tuple[int, ...], limit: int) -> None:
    rows = examples(sizes)
    found = Counter(example.split for example in limited(rows, limit))

    for split, size in Counter(example.split for example in rows).items():
        share = min(limit, len(rows)) * size / len(rows)
        assert abs(found[split] - share) <= 1.5


def test_what_is_kept_does_not_depend_on_the_order_of_the_source() -> None:
    rows = examples((30, 10, 5))

    assert {e.id for e in limited(rows, 9)} == {e.id for e in limited(rows[::-1], 9)}


def test_splits_stand_one_after_another() -> None:
    rows = examples((2, 1, 1))[::-1]

    assert [e.id for e in in_split_order(rows, ("train", "test"))] == ["train-1", "train-0", "test-0"]
