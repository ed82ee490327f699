"""The plan: every row in order, with its prompt, cut into shards."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import ConfigError, SourceError
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import Plan, make_plan

Prompts = Callable[..., Path]


def plan(file: Path, **options: object) -> Plan:
    return make_plan(CacheConfig(model="none", prompts=file, **options))


def lines(folder: Path, *rows: object) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


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


def test_the_digest_of_rows_without_conversations_is_what_it_always_was(prompts: Prompts) -> None:
    media = [{"path": "a.png", "sha256": "00"}]
    digest = "ff500c6fcc62cee6cf61028656127eb222a30f61ced0e06fa537b32225d03c5a"

    assert plan(prompts(10, media=media)).prompts_digest() == digest


def test_the_digest_tells_a_conversation_from_a_prompt_of_its_text(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    talk = plan(lines(tmp_path, {"example_id": "a", "messages": turns}))
    text = plan(lines(tmp_path, {"example_id": "a", "prompt": talk.examples[0].prompt}))

    assert text.examples[0].prompt == talk.examples[0].prompt
    assert text.prompts_digest() != talk.prompts_digest()


def test_files_are_hashed_and_bad_ones_are_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    media = ["a.png", {"path": "a.png", "sha256": "AB"}, "none.png", "../x.png", "https://x/y.png"]
    (example,) = plan(lines(tmp_path, {"example_id": "a", "prompt": "?", "media": media})).examples

    digest = hashlib.sha256(b"a").hexdigest()
    assert [item.sha256 for item in example.media] == [digest, "ab", "", "", ""]


@pytest.mark.parametrize("allowed", [True, False])
def test_the_source_of_media_is_the_folder_of_the_file(tmp_path: Path, allowed: bool) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    made = plan(
        lines(tmp_path, {"example_id": "a", "prompt": "?", "media": ["a.png"]}), allow_remote_media=allowed
    )

    assert made.media.load(made.examples[0].media[0]) == b"a"
    assert made.media.allow_remote is allowed


def test_a_template_by_name_by_default_and_by_text(prompts: Prompts) -> None:
    instruction = TASKS["movie-sentiment"].templates["instruction"]
    config = CacheConfig(model="none", prompts=prompts(1))

    made = make_plan(config, "instruction")
    assert made.template == plan(prompts(1), template="instruction").template == instruction
    assert made.examples[0].prompt == instruction.replace("{text}", "Sentence number 0, .")
    assert make_plan(config).template is None
    assert plan(prompts(1), template="{text}!").template == "{text}!"


def test_two_system_messages_are_one_too_many(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    path = lines(tmp_path, {"example_id": "a", "messages": turns})

    with pytest.raises(SourceError, match=r"example a has a system message and --system gives another"):
        plan(path, system="Be brief.")


def test_what_batch_lines_say_is_compared_with_the_options(tmp_path: Path) -> None:
    path = lines(tmp_path, {"custom_id": "a", "body": {"model": "m", "prompt": "?", "max_tokens": 9}})

    assert plan(path, max_tokens=9).notices == ("model m of the batch lines gives way to --model",)
    with pytest.raises(SourceError, match=r"line 1: max_tokens 9, --max-tokens is 8; make them equal"):
        plan(path, max_tokens=8)


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
        ({"task": "glue"}, SourceError, r"no task glue; choose from glue/cola, glue/mnli, "),
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


def test_files_of_a_split_that_are_not_there_are_spoken_of(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("gj04\t1\t\tThe cat sleeps.\n", encoding="utf-8")
    config = CacheConfig(model="none", task="glue/cola", source=tmp_path)

    assert make_plan(config).notices == (
        f"{tmp_path.name}: no rows of the split validation, which distill reports",
    )
    assert make_plan(replace(config, splits=("train",))).notices == ()
