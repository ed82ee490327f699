"""Token KD on caches that stage one made: every codec, and answers that were given to be scored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from distill.answer_material import gather_answers
from distill.answer_stream import AnswerStream
from distill.config import RunConfig, TokenConfig, resolve
from distill.losses.writing import writing_objective
from distill.pretrained import load_tokenizer
from distill.trainer import fit
from distill.writer import Writer, load_writer
from schemas.cache import TeacherCache, open_cache
from schemas.errors import ConfigError
from schemas.tasks import find_task
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig

Ask = Callable[..., TeacherCache]
NUM_DRAWS = 255
LONG = "+0+0+0+0"


@pytest.fixture(scope="module")
def teacher(make_writer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_writer(tmp_path_factory.mktemp("teacher"), num_hidden_layers=1)


@pytest.fixture(scope="module")
def ask(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Cache what the tiny teacher says of sums: `ask(**options of cache-teacher)`."""
    prompts = tmp_path_factory.mktemp("prompts") / "sums.jsonl"
    rows = [
        {
            "example_id": f"{split}-{number}",
            "task": "chain-sum",
            "split": split,
            "fields": {"question": f"{number}+{number % 4}="},
            "label": str(number + number % 4),
            "prompt": f"{number}+{number % 4}{LONG if number == 25 else ''}=",
        }
        for split, numbers in (("train", range(20)), ("validation", range(20, 26)))
        for number in numbers
    ]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make(**options: Any) -> TeacherCache:
        out = tmp_path_factory.mktemp("asked") / "cache"
        how: dict[str, Any] = {"store": ("text", "logprobs"), "max_tokens": 5, "rows_per_shard": 10}
        where: dict[str, Any] = {"model": f"transformers:{teacher}", "prompts": prompts, "out": out}
        cache_teacher(CacheConfig(quiet=True, **where, **{**how, **options}))
        return open_cache(out)

    return make


def configured(student: Path, **given: Any) -> RunConfig:
    small = {"batch_size": 8, "lr": 1e-2, "max_length": 32, "max_new_tokens": 4, "epochs": 1}
    options = {"student": str(student), "precision": "fp32", "device": "cpu", "method": "kd", **small}
    return resolve({"task": "chain-sum", **options, **given}, "text")


def stream_of(cache: TeacherCache, student: Path) -> AnswerStream:
    stream = gather_answers(
        configured(student),
        cache,
        find_task("chain-sum"),
        load_tokenizer(str(student)),
        torch.device("cpu"),
    ).train
    assert isinstance(stream, AnswerStream)
    return stream


def said(folder: Path, tokens: dict[str, Tensor]) -> Tensor:
    """What a live model says of the answer tokens of a batch: log-probabilities, (N, V), float64."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        logits_BTV = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
    return logits_BTV.flatten(0, 1)[tokens["before_N"]].double().log_softmax(-1)


def divergence(cache: TeacherCache, student: Path, teacher: Path) -> tuple[float, Tensor, Tensor]:
    """The loss from the cache of one batch, and what live student and teacher say of its tokens."""
    batch = next(iter(stream_of(cache, student).batches(0, 1)))
    view = Writer(load_writer(str(student))).eval()(**batch.tokens)
    losses = writing_objective(None, TokenConfig())(view, None, batch.labels, batch.teacher_tokens)
    return losses.parts["kd"].item(), said(student, batch.tokens), said(teacher, batch.tokens)


@pytest.mark.parametrize(("codec", "tolerance"), [("exact", 1e-5), ("half", 1e-3)])
def test_the_whole_vocabulary_is_the_live_teacher(
    ask: Ask, writer_folder: Path, teacher: Path, codec: str, tolerance: float
) -> None:
    found, own_NV, live_NV = divergence(ask(codec=codec, top_k=-1), writer_folder, teacher)
    wanted = (live_NV.exp() * (live_NV - own_NV)).sum(-1).mean().item()
    assert wanted > 0.1
    assert found == pytest.approx(wanted, abs=tolerance)


def test_a_few_entries_and_the_rest_as_one(ask: Ask, writer_folder: Path, teacher: Path) -> None:
    found, own_NV, live_NV = divergence(ask(codec="packed", top_k=6), writer_folder, teacher)
    top_N6 = live_NV.topk(6).indices
    buckets = [
        torch.cat([kept, torch.log1p(-kept.exp().sum(-1, keepdim=True))], 1)
        for kept in (live_NV.gather(1, top_N6), own_NV.gather(1, top_N6))
    ]
    wanted = (buckets[0].exp() * (buckets[0] - buckets[1])).sum(-1).mean().item()
    assert wanted > 0.1
    assert found == pytest.approx(wanted, rel=0.05)


def test_draws_come_to_the_cross_entropy(ask: Ask, writer_folder: Path, teacher: Path) -> None:
    """No tail stands in for what was not drawn: the mean over draws is that over all of the vocabulary."""
    cache = ask(codec="sampled", num_draws=NUM_DRAWS)
    found, own_NV, live_NV = divergence(cache, writer_folder, teacher)
    wanted_N = -(live_NV.exp() * own_NV).sum(-1)
    variance_N = (live_NV.exp() * own_NV.square()).sum(-1) - wanted_N.square()
    error = (variance_N.sum() / NUM_DRAWS).sqrt().item() / len(wanted_N)
    # The draws are seeded by the rows' names; chance exceeds five standard errors once in a million.
    assert abs(found - wanted_N.mean().item()) < 5 * error
    assert error < 0.01 * found


@pytest.mark.parametrize(
    ("codec", "entries"),
    [
        ("packed", {"top_k": 12, "top_p": 0.9}),
        ("sampled", {"num_draws": 12}),
    ],
)
def test_a_student_learns_from_entries_and_from_draws(
    ask: Ask, writer_folder: Path, tmp_path: Path, codec: str, entries: dict[str, Any]
) -> None:
    run = configured(writer_folder, epochs=3)
    result = fit(run, ask(codec=codec, **entries), tmp_path, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    kd = [line["student/kd"] for line in lines if "student/kd" in line]
    assert sum(kd[-3:]) < sum(kd[:3])
    assert set(result.metrics["student"]) == {"exact_answer", "rouge_l"}


@pytest.mark.parametrize("option", [{"kd_divergence": "reverse"}, {"kd_temperature": 2.0}])
def test_what_draws_cannot_give_is_refused_before_anything_is_read(
    ask: Ask, writer_folder: Path, tmp_path: Path, option: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"draws \(codec sampled\)"):
        fit(configured(writer_folder, **option), ask(codec="sampled"), tmp_path, quiet=True)
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.fixture(scope="module")
def references(ask: Ask) -> TeacherCache:
    return ask(store=None, max_tokens=None, score="reference", codec="exact", top_k=-1)


def test_references_are_learnt_with_what_the_teacher_thinks_of_them(
    references: TeacherCache, writer_folder: Path, teacher: Path
) -> None:
    """The divergence is the live teacher's on the tokens that it scored, and nothing at the end."""
    stream, tokenizer = stream_of(references, writer_folder), load_tokenizer(str(writer_folder))
    batch = next(iter(stream.batches(0, 1)))
    targets = "".join(tokenizer.convert_ids_to_tokens(batch.tokens["targets_N"].tolist()))
    wanted = [int(name.removeprefix("train-")) for name in stream.split.example_ids(batch.rows_B)]
    assert targets == "".join(f"{number + number % 4}<end>" for number in wanted)

    view = Writer(load_writer(str(writer_folder))).eval()(**batch.tokens)
    found = writing_objective(None, TokenConfig())(view, None, batch.labels, batch.teacher_tokens)
    own_NV, live_NV = said(writer_folder, batch.tokens), said(teacher, batch.tokens)
    divergence_N = (live_NV.exp() * (live_NV - own_NV)).sum(-1)
    scored_N = batch.tokens["targets_N"] != tokenizer.eos_token_id
    total = (divergence_N * scored_N).sum() / len(scored_N)
    assert found.parts["kd"].item() == pytest.approx(total.item(), abs=1e-5)
    nll = -own_NV.gather(1, batch.tokens["targets_N"][:, None]).mean()
    assert found.parts["task"].item() == pytest.approx(nll.item(), abs=1e-5)


def test_answers_of_another_cache_end_where_they_ended(ask: Ask, writer_folder: Path, tmp_path: Path) -> None:
    """What was cut short there is learnt without an end, though the one who scores it does not know."""
    texts = ask(store=("text",))
    scored = ask(store=None, max_tokens=None, score=str(texts.folder), codec="exact", top_k=-1)
    before, after = (
        {row["example_id"]: row for _, shard in cache.shards("train") for row in shard.read().to_pylist()}
        for cache in (texts, scored)
    )
    assert all(row["teacher_text"] is None for row in after.values())
    stream, tokenizer = stream_of(scored, writer_folder), load_tokenizer(str(writer_folder))
    rows = np.arange(20)
    names, answers = stream.split.example_ids(rows), stream.sequences.answers.rows(rows)
    cut = {name for name, row in before.items() if row["finish_reason"] == "length"}
    assert cut
    for name, ids in zip(names, answers, strict=True):
        assert ids.tolist() == [*after[name]["token_ids"], *([] if name in cut else [tokenizer.eos_token_id])]
    fit(configured(writer_folder), scored, tmp_path, quiet=True)


def test_a_prompt_that_is_too_long_is_counted_and_not_asked(
    references: TeacherCache, writer_folder: Path, tmp_path: Path
) -> None:
    result = fit(configured(writer_folder, max_length=12), references, tmp_path, quiet=True)
    said = "1 reported rows with a prompt of more than 12 tokens were left out; the longest has 15"
    assert said in result.notes
    assert result.num_rows["report"] == 5
    names = pq.read_table(tmp_path / "predictions.parquet")["example_id"].to_pylist()
    assert names == [f"validation-{number}" for number in range(20, 25)]
