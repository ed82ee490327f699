"""The plan: every row in order, with its prompt, cut into shards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import ConfigError, SourceError
from teacher_cache.config import CacheConfig
from teacher_cache.plan import Plan, make_plan

Prompts = Callable[..., Path]


def plan(file: Path, **options: object) -> Plan:
    return make_plan(CacheConfig(model="none", prompts=file, **options))


def test_shards_cover_every_row_once_in_order(prompts: Prompts) -> None:
    made = plan(prompts(43))
    shards = made.shards(8)

    assert [example for shard in shards for example in shard.examples] == list(made.examples)
    assert all(example.split == shard.split for shard in shards for example in shard.examples)
    assert [shard.name for shard in shards if shard.split == "train"][-1] == "train-00003-of-00004.parquet"


def test_the_digest_sees_prompt_label_and_order(prompts: Prompts) -> None:
    digests = {
        plan(prompts(10)).prompts_digest(),
        plan(prompts(10), template="{text}!").prompts_digest(),
        plan(prompts(10, label=0)).prompts_digest(),
        plan(prompts(10), limit=9).prompts_digest(),
    }

    assert len(digests) == 4
    assert plan(prompts(10)).prompts_digest() in digests


def test_a_rows_own_prompt_goes_before_the_template(prompts: Prompts) -> None:
    made = plan(prompts(10, prompt="Mine."), template="Yours: {text}")

    assert {example.prompt for example in made.examples} == {"Mine."}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"template": "{review}"}, ConfigError, r"task movie-sentiment has the fields {text}; use them"),
        ({"template": "no field"}, ConfigError, r"task movie-sentiment has the fields {text}; use them"),
        ({"template": "{text"}, ConfigError, r"expected '}' before end of string"),
        ({"template": "{text!x}"}, ConfigError, r"the field text has a format; write it as {text}"),
        ({"template": "{text:d}"}, ConfigError, r"the field text has a format; write it as {text}"),
        ({"template": ""}, ConfigError, r"task movie-sentiment has the fields {text}; use them"),
        ({"task": ""}, ConfigError, r"--task is empty; give a value, or leave it out"),
        ({"out": Path("a\udcff")}, ConfigError, r"--out 'a.udcff' is no UTF-8; give another path"),
        ({"task": "glue"}, SourceError, r"no task glue; choose from free, movie-"),
        ({"splits": ("dev",)}, ConfigError, r"--splits dev: dev is none of train, validation, test"),
        ({"splits": ("train", "train")}, ConfigError, r"a name stands twice"),
        ({"source": Path("x")}, ConfigError, r"--source and --prompts both name the examples"),
    ],
)
def test_what_cannot_be_right_is_refused(
    prompts: Prompts, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan(prompts(10), **options)


def test_a_split_that_is_empty_is_said(prompts: Prompts) -> None:
    with pytest.raises(SourceError, match=r"no example in the splits test"):
        plan(prompts(5), splits=("test",))


def test_fields_that_the_task_has_not_are_refused(prompts: Prompts) -> None:
    with pytest.raises(SourceError, match=r"example row-0: fields \['review'\], task movie-sentiment wants"):
        plan(prompts(5, fields={"review": "Fine."}))
