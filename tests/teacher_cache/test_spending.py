"""Tokens and money: what a run is charged, what it will be, and where it stops."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.answer import Answer, Usage
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.manifest_file import read_manifest
from teacher_cache.spending import Most, Price, Spending, read_price

PRICES = """currency = "EUR"
[models."fast"]
prompt = 1.0
completion = 5.0
"""
# Ten prompt and two completion tokens.
ROW_COST = (10 * 1.0 + 2 * 5.0) / 1_000_000


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAST_CHARGES", "1")
    path = tmp_path / "prices.toml"
    path.write_text(PRICES, encoding="utf-8")
    return path


def rows(number: int, prompt: str = "x") -> list[Example]:
    return [Example(id=f"r{i}", task="free", split="train", fields={}, prompt=prompt) for i in range(number)]


def test_the_manifest_has_tokens_and_money(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path, tmp_path: Path
) -> None:
    summary = run(prompts(40), price_file=prices)

    spent = read_manifest(tmp_path / "cache").spent
    assert spent is not None
    assert (spent.prompt_tokens, spent.completion_tokens, spent.currency) == (400, 80, "EUR")
    assert spent.cost == spent.projected_cost == pytest.approx(40 * ROW_COST)
    assert summary["spent"] == spent.model_dump()


def test_without_prices_tokens_are_counted(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path
) -> None:
    spent = run(prompts(10))["spent"]

    assert (spent["prompt_tokens"], spent["cost"]) == (100, None)


def test_a_budget_stops_before_it_is_passed_and_a_higher_one_goes_on(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path, tmp_path: Path, teachers: list[Any]
) -> None:
    # What a row may cost at most is far above what it does: 1,000 bytes and 20 tokens.
    given = {
        "price_file": prices,
        "store": ("text",),
        "template": "plain",
        "max_tokens": 20,
        "batch_size": 1,
        "max_retries": 0,
    }
    with pytest.raises(TeacherError, match=r"--max-cost 0.0015 EUR: 0.0004 are spent on 19 of 40 rows"):
        run(prompts(40), max_cost=0.0015, **given)
    before = teachers[-1].asked

    run(prompts(40), max_cost=0.01, **given)

    assert len(before) + len(teachers[-1].asked) == 40
    assert not set(before) & set(teachers[-1].asked)
    spent = read_manifest(tmp_path / "cache").spent
    assert spent is not None
    assert spent.cost == pytest.approx(40 * ROW_COST)


def test_what_is_in_flight_is_reserved_at_its_most() -> None:
    price = Price(prompt=1_000_000, completion=1_000_000)
    spending = Spending(price, "X", max_cost=4500, most=Most(completion_tokens=1000))

    assert spending.reserve(rows(2))
    assert not spending.reserve(rows(1))
    spending.settle(rows(2), [Answer(usage=Usage(1, 1)), Answer(error="no", usage=Usage(1, 0))])
    assert spending.reserve(rows(2))
    assert not spending.reserve(rows(1))


@pytest.mark.parametrize(
    ("most", "example", "rows_that_fit"),
    [
        (Most(completion_tokens=1000), {}, 10),
        (Most(completion_tokens=1000, system_bytes=2000), {}, 5),
        (Most(completion_tokens=1000, requests=6), {}, 1),
        (Most(completion_tokens=8000, samples=8), {}, 1),
        (Most(), {"answer_to_score": "x" * 3000}, 5),
    ],
)
def test_all_that_a_row_may_cost_is_reserved(most: Most, example: dict[str, str], rows_that_fit: int) -> None:
    spending = Spending(Price(prompt=1_000_000, completion=1_000_000), "X", max_cost=20_020, most=most)

    reserved = [spending.reserve([replace(row, **example)]) for row in rows(20)]
    assert sum(reserved) == rows_that_fit


def test_a_service_that_does_not_say_what_it_charged_ends_a_run_with_a_budget(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAST_CHARGES")
    with pytest.raises(
        TeacherError, match=r"--max-cost 5: the service does not say what it charged for row-"
    ):
        run(prompts(10), max_cost=5, price_file=prices)
    assert run(prompts(10), price_file=prices)["rows"] == 10


def test_a_stopped_run_keeps_what_it_spent(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path, tmp_path: Path
) -> None:
    with pytest.raises(TeacherError, match="--max-cost"):
        run(prompts(40), max_cost=0.0066, price_file=prices, rows_per_shard=1000, batch_size=1)

    manifest = read_manifest(tmp_path / "cache")
    assert not manifest.files
    assert manifest.spent is not None
    assert manifest.spent.cost


def test_what_an_error_cost_is_not_forgotten_when_it_is_asked_again(
    prompts: Callable[..., Path],
    run: Callable[..., Any],
    prices: Path,
    fast_teacher: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = fast_teacher.FastTeacher._answer
    bad = Answer(error="refused", usage=Usage(10, 2))
    monkeypatch.setattr(fast_teacher.FastTeacher, "_answer", lambda self, example: bad)
    assert run(prompts(20), price_file=prices)["spent"]["cost"] == pytest.approx(20 * ROW_COST)
    monkeypatch.setattr(fast_teacher.FastTeacher, "_answer", answer)
    # Each may cost 0.006 by its bytes, so this is stopped at about half of the rows.
    with pytest.raises(TeacherError, match=r"of 20 rows and the next may not fit"):
        run(prompts(20), price_file=prices, retry_errors=True, max_cost=0.0068, batch_size=1)

    spent = run(prompts(20), price_file=prices, retry_errors=True)["spent"]
    assert spent["cost"] == spent["projected_cost"] == pytest.approx(40 * ROW_COST)


def test_pictures_are_charged_each_and_those_that_failed_are_not() -> None:
    spending = Spending(Price(image=0.5), "X", images=2)
    spending.resume(4, 2, 0, 0)
    spending.settle(rows(2), [Answer(), Answer(error="blank")])

    assert spending.spent is not None
    assert (spending.spent.cost, spending.spent.projected_cost) == (3.0, 3.0)


def test_the_note_is_empty_where_nothing_is_charged() -> None:
    assert not Spending().note
    spending = Spending(Price(prompt=2.0), "USD")
    spending.resume(4, 3, 500_000, 0)
    assert spending.note == "500000 tokens, 1.0000 of about 4.0000 USD"


def test_copied_answers_cost_nothing_here(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path, tmp_path: Path
) -> None:
    run(prompts(10), out=tmp_path / "first", price_file=prices)

    spent = run(prompts(20), reuse=tmp_path / "first", price_file=prices)["spent"]
    assert spent["prompt_tokens"] == 100


def test_a_dry_run_says_what_the_whole_would_cost(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path
) -> None:
    found = run(prompts(40), price_file=prices, dry_run=True, max_requests_per_minute=4)

    assert found["projected_cost"] == pytest.approx(40 * ROW_COST)
    assert found["sample_cost"] == pytest.approx(8 * ROW_COST)
    assert (found["projected_tokens"], found["currency"]) == (480, "EUR")
    assert found["projected_seconds"] == 600


def test_a_dry_run_of_what_is_taught_counts_that_alone(
    prompts: Callable[..., Path], run: Callable[..., Any], prices: Path
) -> None:
    found = run(prompts(40), price_file=prices, dry_run=True, teach="train")

    assert (found["rows"], found["rows_to_ask"]) == (40, 28)
    assert found["projected_cost"] == pytest.approx(28 * ROW_COST)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[models."other"]\nprompt = 1.0\n', r"no price for fast, it has other; add \[models\.\"fast\"\]"),
        ("[models.fast]\nprompt = -1.0\n", r"models\.fast\.prompt: Input should be greater than or equal"),
        ("[models.fast]\nprompt = inf\n", r"models\.fast\.prompt: Input should be a finite number"),
        ("[models.fast]\npromt = 1.0\n", r"models\.fast\.promt: Extra inputs are not permitted"),
        ("[models", r"prices\.toml: .*; give a readable TOML file"),
    ],
)
def test_a_bad_price_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_price(path, "fast")


@pytest.mark.parametrize(
    ("text", "missing"), [("[models.fast]\n", "prompt"), ("[models.fast]\nprompt = 1.0\n", "completion")]
)
def test_a_price_that_is_left_out_is_not_taken_for_nothing(
    prompts: Callable[..., Path], run: Callable[..., Any], tmp_path: Path, text: str, missing: str
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"has no {missing}; add it, as 0 if it is free"):
        run(prompts(10), price_file=path, store=("text",))


def test_a_budget_without_prices_is_refused(prompts: Callable[..., Path], run: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="--max-cost needs prices"):
        run(prompts(10), max_cost=1.0)


def test_retries_are_summed_in_the_manifest(
    prompts: Callable[..., Path], run: Callable[..., Any], tmp_path: Path, fast_teacher: Any
) -> None:
    fast_teacher.FastTeacher.num_retries = 3
    try:
        run(prompts(10))
    finally:
        fast_teacher.FastTeacher.num_retries = 0

    assert read_manifest(tmp_path / "cache").timings["retries"] == 3
    line = (tmp_path / "cache" / "journal" / "timings.jsonl").read_text(encoding="utf-8")
    assert json.loads(line)["retries"] == 3
