"""A cache of a tiny model with random weights, and both commands in this process."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.cache import open_cache
from schemas.codec import CODECS
from schemas.manifest import CacheManifest
from schemas.rows import Row, decode
from schemas.topk import TopK, rescale
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.shards_cli import main

SPECIAL = ("<pad>", "<s>", "</s>")
VOCABULARY = len(SPECIAL) + 256
CHAT = (
    "<s>{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
SPLITS = ("train", "train", "train", "validation", "test")


def _tokenizer() -> Any:
    """Each byte is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    made.chat_template = CHAT
    return made


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a causal language model of random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=256,
        initializer_range=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **sizes,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def ask(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a cache of the tiny model; equal options give the same one."""
    made: dict[str, Path] = {}

    def make(rows: int = 10, **options: Any) -> Path:
        key = json.dumps([rows, options], default=str)
        if key not in made:
            folder = tmp_path_factory.mktemp("cache")
            prompts = folder / "prompts.jsonl"
            prompts.write_text("".join(json.dumps(_line(index)) + "\n" for index in range(rows)))
            given: dict[str, Any] = {
                "model": f"transformers:{model}",
                "prompts": prompts,
                "out": folder / "cache",
                "store": ("text", "logprobs"),
                "max_tokens": 6,
                "batch_size": 4,
                "quiet": True,
            }
            cache_teacher(CacheConfig(**(given | options)))
            made[key] = folder / "cache"
        return made[key]

    return make


def _line(index: int) -> dict[str, object]:
    return {
        "example_id": f"row-{index}",
        "task": "movie-sentiment",
        "split": SPLITS[index % len(SPLITS)],
        "fields": {"text": f"Sentence {index}{'!' * (index % 3)}"},
        "label": index % 2,
    }


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run teacher-shards; its status and what it wrote."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["teacher-shards", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), *capsys.readouterr()

    return call


@pytest.fixture
def exported(say: Callable[..., Any], model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Export a cache to a new folder."""

    def export(cache: Path, name: str, *more: object) -> Path:
        out = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        tokens = ("--tokenizer", model) if name in ("distillkit", "axolotl") else ()
        code, _, err = say("export", cache, "--format", name, "--out", out, *tokens, *more)
        assert code == 0, err
        return out

    return export


@pytest.fixture
def refused(say: Callable[..., Any]) -> Callable[..., str]:
    """Run teacher-shards, which refuses with one line; gives it."""

    def call(*arguments: object, status: int = 1) -> str:
        code, _, err = say(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("teacher-shards: ")]
        assert (code, len(lines)) == (status, 1), err
        assert "Traceback" not in err
        return lines[0]

    return call


def read(folder: Path) -> tuple[CacheManifest, dict[str, Row]]:
    """A cache's manifest, and its rows by id."""
    cache = open_cache(folder)
    rows: list[Row] = []
    for split in cache.manifest.request.splits:
        for _, shard in cache.shards(split):
            with shard:
                rows += decode(shard.read())
    return cache.manifest, {row.example.id: row for row in rows}


def top_of(manifest: CacheManifest, row: Row) -> TopK:
    """The entries of a row, as a reader of the cache would use them."""
    answer = row.answer
    assert answer is not None
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    assert answer.tail_logprob is not None
    codec = CODECS[manifest.request.codec or ""]
    top = codec.decode(answer.topk_ids, answer.topk_logprobs, manifest.teacher.vocab_size or 0)
    return top if codec.name == "exact" else rescale(top, answer.tail_logprob)


def normalised(top: TopK) -> TopK:
    """Entries that sum to one."""
    return rescale(top, np.full(top.num_tokens, -np.inf))


@pytest.fixture
def cached() -> Callable[[Path], tuple[CacheManifest, dict[str, Row]]]:
    """Reads a cache."""
    return read


@pytest.fixture
def entries() -> Callable[..., dict[tuple[int, int], float]]:
    """Log-probabilities of a row by position and id, as they are or summing to one."""

    def table(manifest: CacheManifest, row: Row, *, whole: bool = True) -> dict[tuple[int, int], float]:
        top = top_of(manifest, row)
        top = top if whole else normalised(top)
        tokens = np.repeat(np.arange(top.num_tokens), top.counts).tolist()
        return dict(zip(zip(tokens, top.ids.tolist(), strict=True), top.logprobs.tolist(), strict=True))

    return table
