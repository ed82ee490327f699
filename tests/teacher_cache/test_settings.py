"""What options mean to a teacher, and which have no meaning there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.cache import open_cache
from schemas.codec import CODECS
from schemas.errors import ConfigError
from schemas.manifest_file import read_manifest
from schemas.rows import decode
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig

Run = Callable[..., dict[str, Any]]
Prompts = Callable[..., Path]


def test_what_changes_answers_is_in_the_manifest(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(10), store=("text", "logprobs"), system="Be brief.", top_k=5, max_tokens=7)

    request = read_manifest(tmp_path / "cache").request
    assert request.codec == "packed"
    assert request.parameters == {
        "template": TASKS["movie-sentiment"].templates["instruction"],
        "system": "Be brief.",
        "max_tokens": 7,
        "temperature": 0.0,
        "num_samples": 1,
        "seed": 0,
        "top_k": 5,
        "top_p": 1.0,
        "min_k": 1,
    }


def test_a_teacher_that_writes_is_asked_a_question_and_one_that_represents_is_given_the_text(
    prompts: Prompts, run: Run, tmp_path: Path
) -> None:
    run(prompts(10), store=("text",), out=tmp_path / "written")
    run(prompts(10), store=("text",), template="plain", out=tmp_path / "plain")
    run(prompts(10), store=("repr",), out=tmp_path / "represented")

    first = {name: next(iter(first_prompts(tmp_path / name))) for name in ("written", "plain", "represented")}
    assert first["written"].startswith("Is this sentence of a film review negative or positive?")
    assert first["plain"] == first["represented"] == "Sentence number 0, ."


def first_prompts(folder: Path) -> list[str]:
    ((_, shard),) = open_cache(folder).shards("train")
    return shard.read(columns=["prompt"]).column("prompt").to_pylist()


def test_a_representation_depends_on_none_of_it(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(10), store=("repr",))

    request = read_manifest(tmp_path / "cache").request
    assert (request.codec, request.parameters) == (None, {})


@pytest.mark.parametrize("codec", CODECS)
def test_log_probabilities_are_sealed_in_each_codec(
    prompts: Prompts, run: Run, tmp_path: Path, codec: str
) -> None:
    run(prompts(10), store=("logprobs",), codec=codec)

    cache = open_cache(tmp_path / "cache")
    vocab_size = cache.manifest.teacher.vocab_size or 0
    ((file, shard),) = cache.shards("train")
    assert (file.captured_mass is None) == (codec == "sampled")
    for row in decode(shard.read()):
        assert row.answer is not None
        assert row.answer.topk_ids is not None
        assert row.answer.topk_logprobs is not None
        top = CODECS[codec].decode(row.answer.topk_ids, row.answer.topk_logprobs, vocab_size)
        assert top.num_tokens == 3
        assert np.exp(top.logprobs).sum() == pytest.approx(3, rel=0.1)


def test_rows_of_one_length_are_asked_together_and_a_rerun_changes_no_batch(
    prompts: Prompts, run: Run, tmp_path: Path, fast_teacher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAST_SORTS", "1")
    batches: list[list[str]] = []
    answer = fast_teacher.FastTeacher.answer

    async def noted(self: Any, examples: Any) -> Any:
        batches.append([example.id for example in examples])
        if len(batches) == 5:
            raise RuntimeError("pulled the plug")
        return await answer(self, examples)

    monkeypatch.setattr(fast_teacher.FastTeacher, "answer", noted)
    fast_teacher.register(fast_teacher.FastTeacher)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(prompts(30), batch_size=4, concurrency=1, rows_per_shard=1000)
    stopped = batches[:]
    run(prompts(30), batch_size=4, concurrency=1, rows_per_shard=1000)

    whole = stopped[:4] + batches[5:]
    assert batches[5] == stopped[4]
    assert sorted(map(len, whole)) == [1, 2, 3, 4, 4, 4, 4, 4, 4]
    # Three splits, each sorted by itself.
    lengths = {line_id: len(text) for line_id, text in texts(prompts(30)).items()}
    train = [lengths[one] for batch in whole[:6] for one in batch]
    assert train == sorted(train)


def texts(path: Path) -> dict[str, str]:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {line["example_id"]: line["fields"]["text"] for line in lines}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "none", "max_tokens": 5}, "--max-tokens: the backend none is not told how to write"),
        ({"top_k": 5}, "--top-k: log-probabilities are not stored; add --store logprobs"),
        ({"codec": "half"}, "--codec: log-probabilities are not stored"),
        ({"store": ("logprobs",), "codec": "zip"}, "--codec zip: none of exact, half, packed, sampled"),
        ({"store": ("logprobs",), "num_draws": 9}, "--num-draws: only the codec sampled draws"),
        (
            {"store": ("logprobs",), "codec": "sampled", "top_k": 9},
            "--top-k: the codec sampled draws; give --num-draws",
        ),
        ({"store": ("logprobs",), "top_k": -1}, "--top-k -1 keeps the whole vocabulary"),
        ({"store": ("logprobs",), "top_k": 5, "min_k": 6}, "--min-k 6 is above --top-k 5"),
        ({"score": "reference", "max_tokens": 5}, "--max-tokens: with --score nothing is generated"),
        ({"score": "reference", "store": ("text",)}, "--store text with --score: scoring gives"),
        ({"option": ("dtype",)}, "--option dtype: give KEY=VALUE"),
        ({"option": ("a=1", "a=2")}, "--option a stands twice"),
    ],
)
def test_what_has_no_meaning_is_refused(
    prompts: Prompts, run: Run, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        run(prompts(10), **options)


def test_a_conversation_is_not_read_aloud(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from teacher_cache.teachers import BACKENDS

    turns = [{"role": role, "content": "Hello."} for role in ("user", "assistant", "user")]
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    run(path)
    monkeypatch.setitem(BACKENDS, "fast", replace(BACKENDS["fast"], generates=False))
    with pytest.raises(ConfigError, match="is a conversation, and the backend fast reads one text a row"):
        run(path, out=tmp_path / "other")


def test_the_codec_sampled_wants_the_whole_distribution(
    prompts: Prompts, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from teacher_cache.teachers import BACKENDS

    monkeypatch.setitem(BACKENDS, "fast", replace(BACKENDS["fast"], whole_distribution=False))
    with pytest.raises(
        ConfigError, match="--codec sampled draws from the whole distribution, which the backend"
    ):
        run(prompts(10), store=("logprobs",), codec="sampled")


def test_the_folder_of_a_local_model_is_named_after_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "SmolLM2").mkdir()
    config = CacheConfig(model=f"transformers:{tmp_path}/SmolLM2/")
    assert config.folder("free") == Path("data/shards/free/transformers-smollm2")
    assert CacheConfig(model="openai:gpt-4o").folder("free").name == "openai-gpt-4o"
    assert CacheConfig(model="none").folder("free").name == "none"
