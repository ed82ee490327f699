"""Why each sample of a row ended, in one column."""

import pytest

from schemas.answer import joined_reasons, reasons_of


@pytest.mark.parametrize(
    ("reasons", "kept"),
    [
        (["stop"], "stop"),
        (["stop", "stop"], "stop"),
        (["stop", "length", "stop"], "stop,length,stop"),
        (["length", None], "length,"),
        ([None, None], None),
    ],
)
def test_reasons_are_one_word_or_one_for_each(reasons: list[str | None], kept: str | None) -> None:
    assert joined_reasons(reasons) == kept
    assert reasons_of(kept, len(reasons)) == reasons


def test_a_word_with_commas_of_its_own_is_that_of_all() -> None:
    assert reasons_of("stopped, as asked", 3) == ["stopped, as asked"] * 3
