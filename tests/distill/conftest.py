"""Small real things: a cache written by the contract's own functions, and a tiny BERT with its tokenizer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from schemas.answer import Answer
from schemas.cache import TeacherCache, open_cache
from schemas.example import Example, Label
from schemas.files import sha256_of
from schemas.manifest import STATS_NAME, CacheManifest, Request, ShardFile, TeacherIdentity
from schemas.manifest_file import write_manifest
from schemas.rows import Row, encode
from schemas.shard import arrow_schema, seal, shard_name
from schemas.tasks import find_task
from tests.process_groups import group_nursery, start_group

__all__ = ["group_nursery", "start_group"]

GOOD = ("a warm and lovely film", "great acting", "i loved every minute of it", "fine and funny")
BAD = ("a cold and dull film", "poor acting", "i hated every minute of it", "slow and sad")
WORDS = sorted({word for text in (*GOOD, *BAD) for word in text.split()})


def examples(split: str, count: int) -> list[Example]:
    random = np.random.default_rng(len(split))
    rows = []
    for index in range(count):
        label = int(random.integers(2))
        text = " ".join(random.choice((BAD, GOOD)[label], size=random.integers(1, 4)))
        rows.append(
            Example(
                id=f"{split}-{index:04d}",
                task="movie-sentiment",
                split=split,
                fields={"text": text},
                label=Label(class_ids=(label,)),
            )
        )
    return rows


def representation(example: Example, width: int) -> NDArray[np.float32]:
    """Noise, with the label in its first value."""
    random = np.random.default_rng(sum(example.id.encode()))
    values = random.normal(size=width).astype(np.float32) + 3
    values[0] = 4 * example.label.class_ids[0] if example.label.class_ids else 0
    return values


def write_cache(
    folder: Path,
    rows: Sequence[Example],
    *,
    width: int | None = 12,
    rows_per_shard: int = 40,
    modality: str = "audio",
    taught: Callable[[Example], bool] = lambda example: True,
    with_stats: bool = True,
    represent: Callable[[Example, int], NDArray[np.float32]] = representation,
) -> TeacherCache:
    """Write a whole cache as stage one would, without a teacher."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {
        split: sum(row.split == split for row in rows) for split in dict.fromkeys(row.split for row in rows)
    }
    task = find_task(rows[0].task)
    manifest = CacheManifest(
        teacher=TeacherIdentity(
            backend="none" if width is None else "test",
            name="none" if width is None else "numbers",
            revision="1",
            modality="none" if width is None else modality,
            repr_dim=width,
        ),
        request=Request(
            task=task.name,
            source="test",
            splits=splits,
            prompts_digest=f"{len(rows)}",
            rows_per_shard=rows_per_shard,
        ),
    )
    schema = arrow_schema(manifest)
    files: list[ShardFile] = []
    for split in splits:
        own = [row for row in rows if row.split == split]
        chunks = [own[start : start + rows_per_shard] for start in range(0, len(own), rows_per_shard)]
        for index, chunk in enumerate(chunks):
            answered = [
                Row(
                    row,
                    task.prompt(row),
                    Answer(repr=represent(row, width)) if width and taught(row) else None,
                )
                for row in chunk
            ]
            table = pa.Table.from_batches([encode(answered, schema)])
            files.append(seal(folder, shard_name(split, index, len(chunks)), split, table))
    digest = None
    if width and with_stats:
        values = np.array([represent(row, width) for row in rows if row.split == "train"], np.float64)
        stats = {
            "mean": values.mean(0),
            "variance": values.var(0),
            "count": np.array([len(values)], np.float64),
        }
        save_file(stats, folder / STATS_NAME)
        digest = sha256_of(folder / STATS_NAME)
    write_manifest(folder, manifest.model_copy(update={"files": tuple(files), "stats_sha256": digest}))
    return open_cache(folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> TeacherCache:
    """96 training and 32 validation rows in several shards."""
    return write_cache(
        tmp_path_factory.mktemp("cache"), [*examples("train", 96), *examples("validation", 32)]
    )


@pytest.fixture(scope="session")
def make_cache() -> Callable[..., TeacherCache]:
    """Write another cache: `make_cache(folder, train=96, validation=32, **settings)`."""

    def make(folder: Path, train: int = 96, validation: int = 32, **settings: Any) -> TeacherCache:
        return write_cache(
            folder, [*examples("train", train), *examples("validation", validation)], **settings
        )

    return make


@pytest.fixture(scope="session")
def cache_of() -> Callable[..., TeacherCache]:
    """Write a cache of examples of one's own: `cache_of(folder, rows, **settings)`."""
    return write_cache


@pytest.fixture(scope="session")
def tiny_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two thin layers with random weights, and a tokenizer that knows the test texts."""
    return write_tiny(tmp_path_factory.mktemp("tiny"), "bert")


@pytest.fixture(scope="session")
def make_tiny() -> Callable[..., Path]:
    """Write a tiny student of some model type: `make_tiny(folder, kind, **settings)`."""
    return write_tiny


def write_tiny(folder: Path, kind: str, **settings: Any) -> Path:
    from transformers import AutoConfig, AutoModelForSequenceClassification, BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    sizes: dict[str, Any] = {
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "pooler_hidden_size": 16,
        **settings,
    }
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **sizes))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(vocab={word: index for index, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_causal() -> Callable[..., Path]:
    """Write a tiny causal student of some model type: `make_causal(folder, kind, pad=None, **settings)`."""
    return write_tiny_causal


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA of two thin layers, as they are published: no head, and a tokenizer without padding token."""
    return write_tiny_causal(tmp_path_factory.mktemp("llama"), "llama")


def write_tiny_causal(folder: Path, kind: str, pad: str | None = None, **settings: Any) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    vocabulary = ["<unk>", "<s>", "</s>", "<pad>", *WORDS]
    sizes: dict[str, Any] = {
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 32,
        "ffn_dim": 32,
        "word_embed_proj_dim": 12,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 3 if pad else None,
        **settings,
    }
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(folder)
    words = models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "<unk>", "eos_token": "</s>", **({"pad_token": pad} if pad else {})}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep token files out of the user's cache folder, and tiny products on one thread: it is faster."""
    monkeypatch.setenv("ARMADA_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "armada"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
