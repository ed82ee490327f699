"""The page of the benchmarks says what was measured, and the picture shows it."""

import json
from importlib.util import find_spec

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.measure import Claim, claim_of
from benchmarks.page import PAGE, RESULTS, claims_of, page_of
from benchmarks.picture import ROWS, Row, claim_of_row, draw


def test_the_page_is_that_of_the_results() -> None:
    assert PAGE.read_text() == page_of(json.loads(RESULTS.read_text()))


def test_every_benchmark_is_a_module_and_every_result_a_benchmark() -> None:
    assert all(find_spec(f"benchmarks.{name}") for name in NAMES)
    assert set(json.loads(RESULTS.read_text())) <= set(NAMES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_a_row_of_the_picture_finds_its_claim(row: Row) -> None:
    claims = claims_of(json.loads(RESULTS.read_text()))
    assert row.benchmark in NAMES
    if row.benchmark in claims:
        claim = claim_of_row(row, claims)
        assert claim is not None
        assert claim.bounds


def test_a_claim_that_misses_its_bound_is_listed_first() -> None:
    missed, kept = claim_of("slow", [3.0], at_most=2), claim_of("quick", [1.0], at_most=2)
    page = page_of({"one": _result(missed, kept)})
    assert "1 of 2 claims with a bound hold. Not held:\n- slow: 3, wanted at most 2" in page


def test_a_claim_without_a_bound_neither_holds_nor_fails() -> None:
    page = page_of({"one": _result(claim_of("free", [3.0]))})
    assert "| free | none set | 3 | 3 to 3 |  |  |" in page


def test_the_same_claims_give_the_same_picture() -> None:
    claims = {"caching": [claim_of(row.begins, [0.5], at_most=1) for row in ROWS[:1]]}
    assert draw(claims) == draw(claims) != draw({})


def _result(*claims: Claim) -> dict:
    from dataclasses import asdict

    return {
        "title": "One",
        "date": "2026-01-01",
        "machine": "a machine",
        "command": "make bench ONLY=one",
        "claims": [asdict(claim) for claim in claims],
    }
