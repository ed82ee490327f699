"""Families of causal students, from a cache to the folders that others open, as the model card says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from distill.again import write_merged
from distill.answer_material import gather_answers
from distill.answer_stream import left_padded
from distill.config import RunConfig, resolve
from distill.pretrained import load_tokenizer
from distill.trainer import fit
from distill.wording import Wording
from schemas.cache import TeacherCache
from schemas.result import RunResult
from schemas.tasks import find_task

# LLaMA as it is published: no padding token. OPT: embeddings of another width, and a config that pads with
# another token than the tokenizer. Qwen: a chat template, and a vocabulary that is padded larger.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"kind": "llama", "chat": False, "pads": False},
    "opt": {"kind": "opt", "chat": False, "ffn_dim": 32, "word_embed_proj_dim": 12},
    "qwen2": {"kind": "qwen2", "vocab_size": 32},
}
Made = tuple[RunConfig, Path, RunResult]


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def base(family: str, make_writer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_writer(tmp_path_factory.mktemp(family), **FAMILIES[family])


@pytest.fixture(scope="module")
def own_cache(
    family: str,
    base: Path,
    sums_cache: TeacherCache,
    make_sums: Callable[..., TeacherCache],
    tmp_path_factory: pytest.TempPathFactory,
) -> TeacherCache:
    """What the student itself says; the padded one learns from a teacher that is not."""
    if family == "qwen2":
        return sums_cache
    return make_sums(tmp_path_factory.mktemp("own"), base, codec="packed", kept=8)


@pytest.fixture(scope="module", params=[None, 2], ids=["whole", "adapter"])
def made(
    request: pytest.FixtureRequest,
    base: Path,
    own_cache: TeacherCache,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    folder = tmp_path_factory.mktemp("run")
    options = {"task": "chain-sum", "student": str(base), "method": "kd", "lora_rank": request.param}
    small = {"epochs": 1, "batch_size": 8, "max_length": 32, "max_new_tokens": 4, "lr": 1e-2}
    run = resolve({**options, **small, "precision": "fp32", "device": "cpu"}, "text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("ARMADA_CACHE_DIR", str(folder / "armada"))
        return run, folder, fit(run, own_cache, folder, quiet=True)


def loaded(folder: Path) -> dict[str, Any]:
    """What the lines of the model card make."""
    code = (folder / "README.md").read_text().partition("    from ")[2].partition("\n\n")[0]
    lines = [line.strip() for line in f"from {code}".splitlines()]
    made: dict[str, Any] = {}
    exec("\n".join(lines).replace("FOLDER", str(folder)), made)
    return made


def answers(made: dict[str, Any], cache: TeacherCache) -> dict[str, str]:
    rows = [row for _, shard in cache.shards("validation") for row in shard.read().to_pylist()]
    tokenizer, model = made["tokenizer"], made["model"].eval()
    wording = Wording(tokenizer.chat_template is not None)
    prompts = [np.array(ids) for ids in wording.prompts(tokenizer, [row["prompt"] for row in rows])]
    padded = left_padded(prompts, tokenizer.pad_token_id)
    tokens = {name: torch.from_numpy(part) for name, part in padded.items()}
    # An adapter leaves the base's generation config as it is.
    pad = {"pad_token_id": tokenizer.pad_token_id} if hasattr(model, "peft_config") else {}
    with torch.no_grad():
        written = model.generate(**tokens, **pad, max_new_tokens=4, do_sample=False)
    texts = tokenizer.batch_decode(written[:, tokens["input_ids"].shape[1] :], skip_special_tokens=True)
    return {row["example_id"]: text for row, text in zip(rows, texts, strict=True)}


def test_the_card_loads_it_and_it_writes_what_was_reported(made: Made, own_cache: TeacherCache) -> None:
    run, folder, result = made
    reported = pq.read_table(folder / "predictions.parquet").to_pylist()
    wanted = {row["example_id"]: row["predicted"] for row in reported}
    folders = [folder / "student"]
    if run.lora is not None:
        folders.append(write_merged(run, folder, result))
    for one in folders:
        assert answers(loaded(one), own_cache) == wanted
        assert (one / "generation_config.json").exists() is (one.name == "merged" or run.lora is None)
        card = (one / "README.md").read_text()
        assert own_cache.manifest.digest[:16] in card
        assert result.config_hash[:8] in card
        assert f"{own_cache.manifest.teacher.backend}:{own_cache.manifest.teacher.name}" in card


def test_a_student_that_pads_with_its_end_says_so_and_learns_to_end(
    made: Made, own_cache: TeacherCache, family: str
) -> None:
    run, _, result = made
    says = [note for note in result.notes if note.startswith("the student pads with its end-of-text token")]
    assert bool(says) is (family == "llama")
    tokenizer, task, cpu = load_tokenizer(run.student), find_task("chain-sum"), torch.device("cpu")
    for batch in gather_answers(run, own_cache, task, tokenizer, cpu).train.batches(0, 1):
        ends = batch.tokens["targets_N"] == tokenizer.eos_token_id
        assert int(ends.sum()) == len(batch.rows_B)
