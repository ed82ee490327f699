"""Analyses of runs that write: states of prompts, answers that are right or wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from distill.analyses.answers import answers_of
from distill.analyses.examples import examples
from distill.analyses.finished import open_run
from distill.analyses.states import aligner_states, student_states
from distill.config import resolve
from distill.pretrained import load_tokenizer
from distill.trainer import fit
from distill.wording import wording_of
from schemas.cache import TeacherCache
from schemas.errors import AnalysisError

OPTIONS = {
    "batch_size": 8,
    "epochs": 1,
    "max_length": 32,
    "max_new_tokens": 4,
    "hidden_dim": 8,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def made(sums_cache: TeacherCache, writer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fit(
        resolve({"task": "chain-sum", "student": str(writer_folder), **OPTIONS}, "text"),
        sums_cache,
        folder,
        quiet=True,
    )
    return folder


def test_a_state_is_that_of_the_last_token_of_the_prompt_alone(made: Path, sums_cache: TeacherCache) -> None:
    states = student_states(open_run(made), sums_cache)
    tokenizer, model = (
        load_tokenizer(str(made / "student")),
        AutoModelForCausalLM.from_pretrained(made / "student"),
    )
    rows = [row for _, shard in sums_cache.shards("validation") for row in shard.read().to_pylist()]
    prompts = wording_of(sums_cache.manifest, tokenizer).prompts(tokenizer, [row["prompt"] for row in rows])
    wanted = [
        model.eval().model(torch.tensor([ids])).last_hidden_state[0, -1].detach().numpy() for ids in prompts
    ]

    assert states.ids == tuple(row["example_id"] for row in rows)
    np.testing.assert_allclose(states.values_RD, np.stack(wanted), atol=1e-5)
    assert aligner_states(open_run(made), sums_cache).values_RD.shape == (12, 8)


def test_written_answers_are_right_or_wrong_and_have_no_class(made: Path, sums_cache: TeacherCache) -> None:
    run = open_run(made)
    answers = answers_of(run, run)

    assert answers.distilled_right_R.mean() == run.result.metrics["student"]["exact_answer"]
    assert examples(answers, sums_cache).height == 0
    with pytest.raises(AnalysisError, match="chain-sum: labels are generative, wanted one class a row"):
        _ = answers.classes_R
