"""A tiny causal student, the same as its own teacher, and a cache of sums that the teacher really scored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from distill.pretrained import load_tokenizer
from distill.wording import Wording, answer_ids
from schemas.answer import Answer
from schemas.cache import TeacherCache, open_cache
from schemas.codec import CODECS
from schemas.example import Example, Label
from schemas.files import sha256_of
from schemas.manifest import STATS_NAME, CacheManifest, Request, TeacherIdentity
from schemas.manifest_file import write_manifest
from schemas.rows import Row, encode
from schemas.shard import arrow_schema, seal, shard_name
from schemas.tokenizer import tokenizer_digest
from schemas.topk import TopK

WIDTH = 6
LETTERS = [*"0123456789+-=? .", "What", "is", "the", "sum", "<pad>", "<end>", "<user>", "<bot>"]
TEMPLATE = (
    "{% for m in messages %}<user>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)


def write_student(
    folder: Path, *, kind: str = "llama", chat: bool = True, pads: bool = True, **settings: Any
) -> Path:
    """A Llama, or another family, of two thin layers over single characters, its embeddings tied."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(LETTERS)}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        **({"pad_token": "<pad>"} if pads else {}),
        eos_token="<end>",
        additional_special_tokens=["<user>", "<bot>"],
        chat_template=TEMPLATE if chat else None,
    )
    tokenizer.save_pretrained(folder)
    sizes = {
        "vocab_size": len(LETTERS),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 96,
        "initializer_range": 0.3,
        "eos_token_id": LETTERS.index("<end>"),
        "bos_token_id": None,
        "tie_word_embeddings": True,
        **settings,
    }
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(folder)
    return folder


def sums(split: str, count: int) -> list[Example]:
    random = np.random.default_rng(len(split))
    numbers = random.integers(0, 10, (count, 2)).tolist()
    return [
        Example(
            id=f"{split}-{index:03d}",
            task="chain-sum",
            split=split,
            fields={"question": f"{left}+{right}="},
            label=Label(target_text=str(left + right)),
        )
        for index, (left, right) in enumerate(numbers)
    ]


@torch.no_grad()
def scored(model: Any, tokenizer: Any, example: Example, codec: str, kept: int, *, text: str) -> Answer:
    """What stage one would keep of a text that the model is taken to have written."""
    prompt = Wording(tokenizer.chat_template is not None).prompts(tokenizer, [example.fields["question"]])[0]
    ids = [*answer_ids(tokenizer, [text])[0], tokenizer.eos_token_id]
    logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].double()
    logprobs_TV = logits.log_softmax(-1)
    top = logprobs_TV.topk(kept)
    vocab_size = logprobs_TV.shape[1]
    entries = TopK(
        top.indices.int().numpy().reshape(-1),
        top.values.float().numpy().reshape(-1),
        np.full(len(ids), kept, np.uint32),
        vocab_size,
    )
    blobs = CODECS[codec].encode(entries)
    # Where every entry is kept there is no rest.
    left_T = 1 - top.values.exp().sum(-1) if kept < vocab_size else torch.zeros(len(ids))
    rest = left_T.log().float().numpy()
    random = np.random.default_rng(sum(example.id.encode()))
    return Answer(
        texts=(text,),
        repr=random.normal(size=WIDTH).astype(np.float32),
        token_ids=np.array(ids, np.int32),
        token_logprobs=logprobs_TV[range(len(ids)), ids].float().numpy(),
        topk_ids=blobs[0],
        topk_logprobs=blobs[1],
        tail_logprob=rest,
        finish_reason="stop",
    )


def write_sums(
    folder: Path,
    student: Path,
    *,
    codec: str = "exact",
    kept: int = len(LETTERS),
    store: tuple[str, ...] = ("text", "repr", "logprobs"),
    change: Callable[[Answer, int], Answer] = lambda answer, index: answer,
    counts: tuple[int, int] = (40, 12),
) -> TeacherCache:
    """A whole cache whose teacher is the student itself; it says the right sum, but for every third row."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, model = load_tokenizer(str(student)), AutoModelForCausalLM.from_pretrained(student).eval()
    rows = {split: sums(split, count) for split, count in zip(("train", "validation"), counts, strict=True)}
    manifest = CacheManifest(
        teacher=TeacherIdentity(
            backend="transformers",
            name="tiny",
            revision="1",
            modality="text",
            repr_dim=WIDTH,
            repr_dtype="float32",
            vocab_size=model.config.vocab_size,
            hashes={"tokenizer": tokenizer_digest(student)},
        ),
        request=Request(
            task="chain-sum",
            source="test",
            splits={split: len(own) for split, own in rows.items()},
            prompts_digest="sums",
            store=store,
            rows_per_shard=25,
            codec=codec if "logprobs" in store else None,
        ),
    )
    schema, files, values = arrow_schema(manifest), [], []
    for split, own in rows.items():
        answers = [
            change(
                scored(
                    model,
                    tokenizer,
                    one,
                    codec,
                    kept,
                    text=(one.label.target_text or "") if index % 3 else "7",
                ),
                index,
            )
            for index, one in enumerate(own)
        ]
        values += [answer.repr for answer in answers if split == "train" and answer.repr is not None]
        made = [Row(one, one.fields["question"], answer) for one, answer in zip(own, answers, strict=True)]
        chunks = [made[start : start + 25] for start in range(0, len(made), 25)]
        for index, chunk in enumerate(chunks):
            table = pa.Table.from_batches([encode(chunk, schema)])
            files.append(seal(folder, shard_name(split, index, len(chunks)), split, table))
    stats = np.array(values, np.float64)
    save_file(
        {"mean": stats.mean(0), "variance": stats.var(0), "count": np.array([len(stats)], np.float64)},
        folder / STATS_NAME,
    )
    write_manifest(
        folder,
        manifest.model_copy(update={"files": tuple(files), "stats_sha256": sha256_of(folder / STATS_NAME)}),
    )
    return open_cache(folder)


@pytest.fixture(scope="session")
def writer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny student that writes, with a chat template."""
    return write_student(tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="session")
def sums_cache(tmp_path_factory: pytest.TempPathFactory, writer_folder: Path) -> TeacherCache:
    """Sums that this student scored itself, every entry kept."""
    return write_sums(tmp_path_factory.mktemp("sums"), writer_folder)


@pytest.fixture(scope="session")
def make_sums() -> Callable[..., TeacherCache]:
    """Write another cache: `make_sums(folder, student, **settings)`."""
    return write_sums


@pytest.fixture(scope="session")
def make_writer() -> Callable[..., Path]:
    """Write another student: `make_writer(folder, **settings)`."""
    return write_student
