"""The generated questions of chain-sum."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from schemas.errors import SourceError
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.readers.questions import read_questions

TASK = TASKS["chain-sum"]
# Of the file that generate_chain_sum.py makes: a cache names it in its prompts digest, so it may not drift.
DIGEST = "4ff2c75ec7d7a3afe8243d0f11b2f4fd4bf5382d84cbc2b2d8724fe793ace755"


def test_the_real_questions(fetched: Path) -> None:
    source = fetched / "tasks" / "chain-sum"
    examples = read_questions(source, TASK).examples

    assert hashlib.sha256((source / "questions.jsonl").read_bytes()).hexdigest() == DIGEST
    assert Counter(e.split for e in examples) == {"train": 7000, "validation": 2000, "test": 1000}
    assert len({e.fields["question"] for e in examples}) == 10_000
    for example in examples:
        expression = example.fields["question"].removesuffix("=").rpartition(":")[2]
        signed = [int(term) for term in expression.replace("- ", "-").replace("+ ", "+").split()]
        assert example.label.target_text == str(sum(signed))


def test_a_plan_asks_for_the_number(fetched: Path) -> None:
    config = CacheConfig(model="none", task="chain-sum", source=fetched / "tasks" / "chain-sum", limit=10)
    plan = make_plan(config, "instruction")

    assert plan.splits == {"train": 7, "validation": 2, "test": 1}
    for example in plan.examples:
        assert example.prompt == f"{example.fields['question']}\nAnswer with the number alone."


def test_a_file_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"questions.jsonl is not there; .*make data"):
        read_questions(tmp_path, TASK)
