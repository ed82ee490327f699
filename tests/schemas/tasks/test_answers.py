"""What a generated text says the answer is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tasks import TASKS
from schemas.tasks.answers import chosen, letter_or_number


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("the correct answer is answer2", "answer2"),
        ("the correct answer is ending4", "ending4"),
        ("The correct answer is: Option 1.", "option1"),
        ("the correct answer is true", "true"),
        ("False", "false"),
        ("solution2", "solution2"),
        ("answer1 is wrong, so the correct answer is answer3", "answer3"),
        ("the correct answer is answer2\nthe correct answer is answer1", "answer2"),
        ("It is true that it could be ending2", "ending2"),
        ("answer: answer5", "answer5"),
        ("the correct answer is unknown, I take answer1", "answer1"),
        ("answer12", None),
        ("answer", None),
        ("the correct answer is", None),
        ("untrue", None),
        ("", None),
    ],
)
def test_the_choice_that_is_named(text: str, choice: str | None) -> None:
    assert chosen(text) == choice


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is (C).", "C"),
        ("60% of 30% is 252.The answer is (C).", "C"),
        ("The answer is C) 252 gms", "C"),
        ("the answer is option B", "B"),
        (r"The answer is $\boxed{D}$.", "D"),
        ("Answer: **E**", "E"),
        ("C", "C"),
        ("(C)", "C"),
        ("Option A fits 3 times", "A"),
        ("(A) is 4, (B) is 5, so it is (B)", "B"),
        ("The answer is 7.", "7"),
        ("The answer is $0.26.", "0.26"),
        ("7.0", "7"),
        ("It costs $1,200.50 in all. The answer is $1,200.50", "1200.5"),
        ("The answer is 12, since 3 * 4 = 12 and not 13", "12"),
        ("The answer is 0.3333333333333333", "0.333"),
        ("The answer is -0.0001", "0"),
        ("A train leaves at 5 and arrives at 9", "9"),
        ("A dozen is 12", "12"),
        ("The answer is Annoying", None),
        ("The answer is a lot: 40", "40"),
        ("The answer is not known. 3 + 4 = 7", "3"),
        ("", None),
        ("no idea", None),
    ],
)
def test_the_option_or_number_that_is_given(text: str, answer: str | None) -> None:
    assert letter_or_number(text) == answer


def test_numbers_to_three_places_are_right() -> None:
    task = TASKS["reasoning/singleeq"]

    assert task.is_right("The answer is 0.333", "0.3333333333333333")
    assert task.is_right("The answer is 4", "4.0")
    assert not task.is_right("The answer is 0.33", "0.3333333333333333")
    assert not task.is_right("The answer is B", "4.0")


@given(st.text())
def test_any_text_is_read_to_an_answer_in_its_own_form_or_none(text: str) -> None:
    for extract in (chosen, letter_or_number):
        answer = extract(text)
        assert answer is None or extract(answer) == answer


@given(st.from_regex(r"[ABCDE0-9.,()\-$ is]{0,40}", fullmatch=True))
def test_a_text_of_digits_and_letters_too(text: str) -> None:
    answer = letter_or_number(f"the answer is {text}")
    assert answer is None or letter_or_number(answer) == answer


def test_a_very_long_number_is_compared_as_it_is_written() -> None:
    assert letter_or_number("9" * 5000 + ".5") == "9" * 5000 + ".5"
