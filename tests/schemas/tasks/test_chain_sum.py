"""Which number a text says."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tasks import TASKS
from schemas.tasks.chain_sum import last_number

TASK = TASKS["chain-sum"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("988", "988"),
        ("426 + 562 = 988.", "988"),
        ("The answer is **-1,234**!", "-1234"),
        ("+01,000.00", "1000"),
        ("1,000,000", "1000000"),
        ("It is 12, 13", "13"),
        ("5-4", "4"),
        ("5 - 4", "4"),
        ("(2)-4", "4"),
        ("= -4", "-4"),
        ("\u22124", "-4"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("007.50", "7.5"),
        (r"\boxed{42}", "42"),
        ("9" * 5000, "9" * 5000),
        ("", None),
        ("no idea", None),
        ("\u0664", None),
    ],
)
def test_the_last_number_in_one_form(text: str, number: str | None) -> None:
    assert last_number(text) == number


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3), st.sampled_from(["{:f}", "{:+f}", "{:,f}"])
)
def test_however_a_number_is_written_it_is_the_same(number: Decimal, form: str) -> None:
    said = last_number(f"So the sum is {form.format(number)}.")

    assert said is not None
    assert Decimal(said) == number
    assert TASK.is_right(form.format(number), f"{number:f}")


@given(st.text())
def test_any_text_says_a_number_in_its_own_form_or_none(text: str) -> None:
    said = last_number(text)

    assert said is None or last_number(said) == said


def test_an_answer_is_right_or_wrong() -> None:
    assert TASK.is_right("It is 1,000.0, I think", "1000")
    assert not TASK.is_right("It is 100", "1000")
    assert not TASK.is_right("It is hard", "1000")


def test_other_tasks_take_a_text_as_it_is() -> None:
    assert TASKS["free"].is_right(" yes\n", "yes")
    assert not TASKS["free"].is_right("Yes", "yes")
    assert not TASKS["free"].is_right(" ", "")
