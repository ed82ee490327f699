"""What a batch of prompts and answers holds, and that its losses are those of the live teacher."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from distill.aligner import TSAligner, dims_of
from distill.answer_material import gather_answers
from distill.answer_stream import AnswerStream, left_padded, right_padded
from distill.config import RunConfig, TokenConfig, resolve
from distill.losses.objective import there
from distill.losses.token import token_losses
from distill.losses.writing import (
    reconstructing_objective,
    reconstruction_loss,
    writing_objective,
)
from distill.material import Material
from distill.pretrained import load_tokenizer
from distill.teacher_tokens import TeacherTokens
from distill.view import TokenView
from distill.writer import Writer, load_writer
from schemas.answer import Answer
from schemas.cache import TeacherCache
from schemas.errors import CacheError
from schemas.tasks import find_task
from tests.devices import on_each_device

TASK = find_task("chain-sum")
CPU = torch.device("cpu")


def configured(student: Path, **given: Any) -> RunConfig:
    own = {"hidden_dim": 16} if given["method"].startswith("armada") else {}
    options = {
        "task": "chain-sum",
        "student": str(student),
        "batch_size": 8,
        "max_length": 32,
        **own,
        **given,
    }
    return resolve(options, "text")


def gathered(cache: TeacherCache, student: Path, **given: Any) -> Material:
    return gather_answers(configured(student, **given), cache, TASK, load_tokenizer(str(student)), CPU)


def first_batch(material: Material) -> Any:
    return next(iter(material.train.batches(0, 1)))


@on_each_device
def test_bfloat16_reaches_the_head_as_it_does_in_the_plain_model(writer_folder: Path, device: str) -> None:
    student = Writer(load_writer(str(writer_folder))).to(device).eval()
    prompts, answers = ([np.arange(1, size, dtype=np.int32) for size in sizes] for sizes in ((4, 7), (5, 3)))
    batch = right_padded(prompts, answers, 0)
    tokens = {name: torch.from_numpy(part).to(device) for name, part in batch.items()}
    with torch.autocast(device, torch.bfloat16):
        view = there(student(**tokens).tokens)
        plain = student.plain(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    logits_NV = plain.logits.flatten(0, 1)[tokens["before_N"]]
    assert view.hidden_ND.dtype == logits_NV.dtype == torch.bfloat16
    wanted = cross_entropy(logits_NV.float(), tokens["targets_N"])
    assert token_losses(view).total.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert there(student(**tokens).tokens).hidden_ND.dtype == torch.float32


def test_places_of_a_batch_by_hand() -> None:
    tokens = right_padded([np.array([5, 6]), np.array([7])], [np.array([8]), np.array([9, 3])], pad_id=0)
    assert tokens["input_ids"].tolist() == [[5, 6, 8, 0, 0, 0, 0, 0], [7, 9, 3, 0, 0, 0, 0, 0]]
    assert tokens["attention_mask"].sum(1).tolist() == [3, 3]
    assert tokens["targets_N"].tolist() == [8, 9, 3]
    assert tokens["before_N"].tolist() == [1, 8, 9]
    assert tokens["prompt_ends_B"].tolist() == [1, 8]
    left = left_padded([np.array([5, 6]), np.array([7])], pad_id=0)
    assert left["input_ids"].tolist() == [[5, 6], [0, 7]]
    assert left["attention_mask"].tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("divergence", ["forward", "reverse", "jsd:0.3"])
def test_offline_is_online(
    sums_cache: TeacherCache, writer_folder: Path, make_writer: Any, tmp_path: Path, divergence: str
) -> None:
    """With every entry kept exactly, a batch's loss is that of the live teacher on the same tokens."""
    from torch.nn.functional import log_softmax

    from distill.losses.divergence import parse_divergence

    batch = first_batch(gathered(sums_cache, writer_folder, method="kd"))
    teacher = AutoModelForCausalLM.from_pretrained(writer_folder).eval()
    student = Writer(load_writer(str(make_writer(tmp_path / "other", num_hidden_layers=1)))).eval()
    view = student(**batch.tokens)
    objective = writing_objective(None, TokenConfig(kd_divergence=divergence))
    losses = objective(view, None, batch.labels, batch.teacher_tokens)
    with torch.no_grad():
        ids, mask = batch.tokens["input_ids"], batch.tokens["attention_mask"]
        live_NV, own_NV = (
            log_softmax(model(input_ids=ids, attention_mask=mask).logits.flatten(0, 1), -1)[
                batch.tokens["before_N"]
            ]
            for model in (teacher, student.backbone)
        )
    wanted = parse_divergence(divergence).loss(own_NV, live_NV).mean()
    assert losses.parts["kd"].item() == pytest.approx(wanted.item(), abs=1e-5, rel=1e-5)
    nll = -own_NV[range(len(own_NV)), batch.tokens["targets_N"]].mean()
    assert losses.parts["task"].item() == pytest.approx(nll.item(), abs=1e-5)
    assert wanted > 0.1


def test_a_teacher_that_is_the_student_has_nothing_to_say(
    sums_cache: TeacherCache, writer_folder: Path
) -> None:
    batch = first_batch(gathered(sums_cache, writer_folder, method="kd"))
    student = Writer(load_writer(str(writer_folder))).eval()
    losses = writing_objective(None, TokenConfig())(
        student(**batch.tokens), None, batch.labels, batch.teacher_tokens
    )
    assert losses.parts["kd"].abs() < 1e-5


@pytest.mark.parametrize(("codec", "kept"), [("exact", 24), ("packed", 6), ("half", 24)])
def test_an_end_that_the_teacher_did_not_score_matches_nothing(
    make_sums: Any, writer_folder: Path, tmp_path: Path, codec: str, kept: int
) -> None:
    """A scored answer has no end, which is learnt from its own target: there the divergence is zero."""
    cache = make_sums(tmp_path / "cache", writer_folder, codec=codec, kept=kept)
    stream = gathered(cache, writer_folder, method="kd").train
    assert isinstance(stream, AnswerStream)
    assert stream.teacher_rows is not None
    rows_B, lengths = np.array([4, 1]), stream.sequences.answers.lengths
    picked = stream.teacher_rows.window([0])(rows_B)
    whole = stream.teacher_rows.ready(picked, lengths[rows_B], lengths[rows_B])
    teacher = stream.teacher_rows.ready(picked, lengths[rows_B] + 1, lengths[rows_B])
    first = int(lengths[4])
    kept_N = [place for place in range(len(teacher)) if place not in (first, len(teacher) - 1)]
    assert torch.equal(teacher.ids_NK[kept_N], whole.ids_NK)
    assert torch.equal(teacher.logprobs_NK[kept_N], whole.logprobs_NK)
    student = Writer(load_writer(str(writer_folder))).eval()
    hidden_ND = torch.randn(2, 16, requires_grad=True)
    view = TokenView(hidden_ND, student.plain.get_output_embeddings().weight, torch.tensor([3, 4]))
    silent = teacher.at(torch.tensor([first, len(teacher) - 1]))
    losses = token_losses(view, silent, task_weight=0.0)
    assert losses.parts["kd"].abs() < 1e-6
    losses.total.backward()
    assert hidden_ND.grad is not None
    assert hidden_ND.grad.abs().max() < 1e-6


def test_a_row_that_is_too_long_is_left_out_and_counted(
    sums_cache: TeacherCache, writer_folder: Path
) -> None:
    whole = gathered(sums_cache, writer_folder, method="undistilled")
    assert isinstance(whole.train, AnswerStream)
    lengths = whole.train.sequences.lengths
    most = int(lengths.max())
    short = gathered(sums_cache, writer_folder, method="undistilled", max_length=most - 1)
    left_out = int((lengths == most).sum())
    assert left_out
    (note,) = short.notes
    assert note.startswith(
        f"{left_out} training rows of more than {most - 1} tokens, prompt and answer, were"
    )
    assert note.endswith(f"left out, none was cut; the longest has {most}")
    for batch in short.train.batches(0, 1):
        ends = batch.tokens["targets_N"] == load_tokenizer(str(writer_folder)).eos_token_id
        assert int(ends.sum()) == len(batch.rows_B)
    with pytest.raises(
        CacheError, match=r"0 short enough \(the longest has 9 tokens\); .* raise --max-length"
    ):
        gathered(sums_cache, writer_folder, method="undistilled", max_length=3)


def test_whose_answer_is_learnt(sums_cache: TeacherCache, writer_folder: Path) -> None:
    tokenizer, said = load_tokenizer(str(writer_folder)), {}
    for method in ("undistilled", "seqkd", "kd"):
        stream = gathered(sums_cache, writer_folder, method=method).train
        assert isinstance(stream, AnswerStream)
        rows = np.arange(6)
        said[method] = [
            tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "")
            for ids in stream.sequences.answers.rows(rows)
        ]
        assert stream.references[:6] == said["undistilled"]
    assert said["seqkd"] == said["kd"]
    assert said["seqkd"][::3] == ["7", "7"]


@pytest.mark.parametrize("method", ["undistilled", "kd"])
def test_batches_of_a_step_are_one_batch(
    sums_cache: TeacherCache, writer_folder: Path, make_writer: Any, tmp_path: Path, method: str
) -> None:
    """Their gradients add up to that of the mean over all tokens of the step, however these are spread."""
    stream = gathered(sums_cache, writer_folder, method=method, batch_size=3, accumulate=5).train
    batches = list(stream.batches(0, 1))
    student = Writer(load_writer(str(make_writer(tmp_path, num_hidden_layers=1)))).eval()
    objective = writing_objective(None, TokenConfig(kd_weight=0.5) if method == "kd" else None)
    assert objective.on_tokens is not None

    def gradients(total: torch.Tensor) -> Sequence[torch.Tensor]:
        return torch.autograd.grad(total, list(student.parameters()))

    assert len(batches) % 5
    uneven = 0
    for first in range(0, len(batches), 5):
        step = batches[first : first + 5]
        uneven += len({len(batch.tokens["targets_N"]) for batch in step}) > 1
        totals = [
            objective(student(**one.tokens), None, one.labels, one.teacher_tokens, one.means).total
            / len(step)
            for one in step
        ]
        added = [sum(parts) for parts in zip(*map(gradients, totals), strict=True)]
        views = [there(student(**one.tokens).tokens) for one in step]
        whole = TokenView(
            torch.cat([view.hidden_ND for view in views]),
            views[0].head_VD,
            torch.cat([view.targets_N for view in views]),
        )
        wanted = objective.on_tokens(whole, joined([one.teacher_tokens for one in step])).total
        assert sum(totals).item() == pytest.approx(wanted.item(), rel=1e-5)
        for ours, theirs in zip(added, gradients(wanted), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert uneven


def joined(parts: list[TeacherTokens | None]) -> TeacherTokens | None:
    """One batch of what was said of several, with every id kept of each token or none."""
    tokens = [part for part in parts if part is not None]
    if not tokens:
        return None
    return TeacherTokens(
        *(
            torch.cat([there(getattr(one, name)) for one in tokens])
            for name in ("ids_NK", "logprobs_NK", "counts_N", "tail_N")
        ),
        tokens[0].vocab_size,
    )


def with_samples(answer: Answer, index: int) -> Answer:
    """Three texts a row; of some one is empty, of some all are, and one row is an error."""
    if index == 5:
        return Answer(error="the service is gone")
    texts = {6: ("", " "), 7: ("1", "", "3")}.get(index, ("1", "22", "3"))
    return replace(answer, texts=texts, finish_reason="stop" if len(texts) == 2 else "stop,length,stop")


@pytest.fixture(scope="module")
def sampled_texts(
    make_sums: Callable[..., TeacherCache], writer_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> TeacherCache:
    return make_sums(
        tmp_path_factory.mktemp("samples"), writer_folder, store=("text", "repr"), change=with_samples
    )


def test_each_text_of_the_teacher_is_an_example(sampled_texts: TeacherCache, writer_folder: Path) -> None:
    """Every sample that is not empty is learnt, a text that was cut short without an end."""
    material = gathered(sampled_texts, writer_folder, method="seqkd", protocol="paper-dev")
    tokenizer = load_tokenizer(str(writer_folder))
    learnt: dict[int, list[str]] = {}
    for batch in material.train.batches(0, 1):
        ends = batch.tokens["input_ids"].shape[1] * torch.arange(1, len(batch.rows_B) + 1)
        rows_N = torch.searchsorted(ends, batch.tokens["before_N"] + 1, right=True)
        for place, row in enumerate(batch.rows_B.tolist()):
            text = tokenizer.decode(batch.tokens["targets_N"][rows_N == place]).replace(" ", "")
            learnt.setdefault(row, []).append(text)
    assert sorted(learnt) == [row for row in range(40) if row not in (5, 6)]
    assert sorted(learnt[7]) == ["1<end>", "3<end>"]
    assert all(sorted(texts) == ["1<end>", "22", "3<end>"] for row, texts in learnt.items() if row != 7)
    assert material.num_rows["train"] == 37 * 3 + 2
    assert set(material.notes) == {
        "2 training rows without an answer of the teacher that can be learnt were left out",
        "1 empty texts beside others on their training rows were left out",
        "each of 113 texts of the teacher, on 38 training rows, is an example",
    }


def test_no_row_is_both_learnt_and_held_out(sampled_texts: TeacherCache, writer_folder: Path) -> None:
    """The held-out tenth is of rows, each once, and --limit-train counts rows with all their texts."""
    material = gathered(sampled_texts, writer_folder, method="seqkd", limit_train=10)
    rows = {
        name: np.concatenate([batch.rows_B for batch in stream.batches(0, 1)])
        for name, stream in (("train", material.train), ("select", material.select))
    }
    assert len(set(rows["train"].tolist())) == 10
    assert len(rows["train"]) > 20
    assert len(rows["select"]) == len(set(rows["select"].tolist())) == 4
    assert not set(rows["train"].tolist()) & set(rows["select"].tolist())
    assert isinstance(material.select, AnswerStream)
    asked = [material.select.references[row] for places, _ in material.select.prompts() for row in places]
    names = material.select.split.column("target_text").to_pylist()
    assert sorted(asked) == sorted(names[row] for row in rows["select"].tolist())


BODY, OUTPUT, PROJECTION, AUX = (
    "student.backbone",
    "student.output_head",
    "student.projection",
    "student.aux_head",
)
ALIGNER = ("aligner.encoder", "aligner.output_head", "aligner.projection", "aligner.aux_head")
FLOWS = {
    "match": {BODY, OUTPUT},
    "match_aux": {BODY, PROJECTION, AUX},
    "manifold": {BODY, PROJECTION},
}


def reached(both: nn.Module, loss: torch.Tensor) -> set[str]:
    both.zero_grad()
    loss.backward()
    named = [name for name, one in both.named_parameters() if one.grad is not None and one.grad.any()]
    return {
        group
        for group in (BODY, OUTPUT, PROJECTION, AUX, *ALIGNER)
        if any(n.startswith(group) for n in named)
    }


@pytest.mark.parametrize("manifold", ["cosine", "euclid", "elementwise"])
def test_what_each_term_trains(sums_cache: TeacherCache, writer_folder: Path, manifold: str) -> None:
    run = configured(writer_folder, method="armada+kd", manifold=manifold)
    how = run.distillation
    assert how is not None
    batch = first_batch(gathered(sums_cache, writer_folder, method="armada+kd", manifold=manifold))
    dims = dims_of(how, 6, 6)
    both = nn.ModuleDict(
        {"student": Writer(load_writer(str(writer_folder)), dims), "aligner": TSAligner(dims)}
    ).eval()

    def views() -> Any:
        return both["student"](**batch.tokens), both["aligner"](batch.teacher_repr_BD)

    objective = writing_objective(how, run.tokens)
    assert {term.name for term in objective.terms} == set(FLOWS)
    for term in objective.terms:
        assert reached(both, term.value(*views(), batch.labels)) == FLOWS[term.name], term.name
    assert objective.on_tokens is not None
    losses = objective.on_tokens(views()[0].tokens, batch.teacher_tokens)
    assert reached(both, losses.total) == {BODY}
    encoder, output, projection, aux = ALIGNER
    for term, wanted in zip(
        reconstructing_objective(how).terms, ({encoder, output}, {projection, aux}), strict=True
    ):
        assert reached(both, term.value(views()[1], None, batch.labels)) == wanted


def test_reconstruction_by_hand() -> None:
    said, wanted = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    assert reconstruction_loss(said, wanted).item() == pytest.approx((4 + 9) / 4)
    assert reconstruction_loss(wanted, wanted).item() == 0
    assert reconstruction_loss((said * 100).bfloat16(), wanted.bfloat16()).isfinite()


def test_the_latent_is_of_the_prompt_alone(
    sums_cache: TeacherCache, writer_folder: Path, make_writer: Callable[..., Path]
) -> None:
    """What stands in the answer does not change what the aligner's terms read."""
    run = configured(writer_folder, method="armada")
    assert run.distillation is not None
    batch = first_batch(gathered(sums_cache, writer_folder, method="armada"))
    student = Writer(load_writer(str(writer_folder)), dims_of(run.distillation, 6, 6)).eval()
    before = student(**batch.tokens)
    changed = {**batch.tokens, "input_ids": batch.tokens["input_ids"].clone()}
    changed["input_ids"].view(-1)[batch.tokens["before_N"] + 1] = 4
    after = student(**changed)
    assert torch.equal(before.latent_BP, after.latent_BP)
    assert not torch.equal(before.tokens.hidden_ND, after.tokens.hidden_ND)
