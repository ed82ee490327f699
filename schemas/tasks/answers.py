"""What a generated text says the answer is, in one fixed form, so that equal answers are equal texts."""

import re
from decimal import ROUND_HALF_EVEN, Decimal

# A minus after a digit or a bracket takes away, it does not belong to the number.
_NUMBER = re.compile(r"((?<![0-9)])[-−+])?([0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(\.[0-9]+)?")
_PHRASE = re.compile(r"\banswer(?:\s+is\b|\s*:)", re.IGNORECASE)
_CHOICE = re.compile(
    r"\b(?:(answer|ending|option|solution) ?([1-9])|(true|false))\b", re.IGNORECASE | re.ASCII
)
_NUMBERED = re.compile(r"\b(answer|ending|option|solution) ?([1-9])\b", re.IGNORECASE | re.ASCII)
# Marks and words that may stand before a letter: `**(C)`, `option C`, `$\boxed{C}`.
_MARKS = r"(?:[\s:*$(\[{]|\\boxed|\\text|option\b|choice\b|Option\b|Choice\b)*"
_LETTER = re.compile(rf"{_MARKS}([A-E])(?![A-Za-z0-9'])")
_LETTER_ALONE = re.compile(rf"{_MARKS}([A-E])[\s.)*$\]}}]*")
_NAMED_LETTER = re.compile(r"\b(?:[Oo]ption|[Cc]hoice)\s+\(?([A-E])(?![A-Za-z0-9'])|\(([A-E])\)")
_LONGEST_NUMBER = 40  # digits that are compared to three places; a longer one is compared as it is written
_THIRD_PLACE = Decimal("0.001")


def last_number(text: str) -> str | None:
    """Take the last number of a text, in one fixed form: `The sum is +01,000.00.` says `1000`.

    Returns:
        Digits without commas, leading zeros and a plus; None where there are none.
    """
    found = list(_NUMBER.finditer(text))
    return _plain(found[-1]) if found else None


def chosen(text: str) -> str | None:
    """Take the choice that a text names, `answer2`, `ending4`, `option1`, `solution2`, `true` or `false`.

    The first after `answer is`; where none stands there, the first with a number, else the first at all.

    Returns:
        Small letters without a space; None where the text names none.
    """
    phrase = _PHRASE.search(text)
    found = (
        (_CHOICE.search(text, phrase.end()) if phrase else None)
        or _NUMBERED.search(text)
        or _CHOICE.search(text)
    )
    return None if found is None else found[0].replace(" ", "").lower()


def letter_or_number(text: str) -> str | None:
    """Take the option (A to E) or else the number that a text gives as its answer.

    What follows `answer is` counts first: `The answer is (C) 42 km` says `C`, `The answer is $1,200.` says
    `1200`. Without it a text that is a letter alone or names an option says that, any other its last number.

    Returns:
        A capital letter, or a number to three decimal places; None where there is neither.
    """
    if (phrase := _PHRASE.search(text)) is not None:
        if letter := _LETTER.match(text, phrase.end()):
            return letter[1]
        if number := _NUMBER.search(text, phrase.end()):
            return _rounded(_plain(number))
    if alone := _LETTER_ALONE.fullmatch(text):
        return alone[1]
    if named := list(_NAMED_LETTER.finditer(text)):
        return named[-1][1] or named[-1][2]
    number = last_number(text)
    return None if number is None else _rounded(number)


def _plain(found: re.Match[str]) -> str:
    sign, whole, fraction = found.groups(default="")
    digits = whole.replace(",", "").lstrip("0") or "0"
    number = f"{digits}{fraction}".rstrip("0").rstrip(".") if fraction else digits
    return f"-{number}" if sign in ("-", "−") and number != "0" else number


def _rounded(number: str) -> str:
    if "." not in number or len(number) > _LONGEST_NUMBER:
        return number
    text = f"{Decimal(number).quantize(_THIRD_PLACE, ROUND_HALF_EVEN):f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
