"""Tiny models made on the spot: random weights, and a tokenizer that knows bytes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.answer import Answer
from schemas.example import Example
from teacher_cache.teachers.local.model import LocalModelTeacher
from teacher_cache.teachers.teacher import TeacherSettings

SPECIAL = ("<pad>", "<s>", "</s>", "<image>", "<fake_token_around_image>", "<global-img>")
# Each byte is a token, so the tokens of a text can be counted by eye.
CHAT = (
    "<s>{% for message in messages %}[{{ message.role }}]"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
CONTEXT = 256


def byte_tokenizer(chat: str | None = CHAT) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Put before a text by itself; a text out of the template begins with one already.
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names: dict[str, Any] = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    names["extra_special_tokens"] = list(SPECIAL[3:])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    made.chat_template = chat
    return made


def text_sizes(**changed: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(SPECIAL) + 256,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.4,  # far from the even distribution that tiny weights would give
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **changed,
    }


def write_causal(folder: Path, model_type: str = "llama", chat: str | None = CHAT, **changed: Any) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **text_sizes(**changed)))
    with torch.no_grad():  # no text ends by chance
        model.get_output_embeddings().weight[: len(SPECIAL)] = 0
    model.save_pretrained(folder)
    byte_tokenizer(chat).save_pretrained(folder)
    return folder


def write_seeing(folder: Path, **changed: Any) -> Path:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
    )

    config = Idefics3Config(
        text_config={"model_type": "llama", **text_sizes(**changed)},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 4,
            "initializer_range": 0.4,
        },
        image_token_id=SPECIAL.index("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    pictures = Idefics3ImageProcessorPil(
        do_image_splitting=False, size={"longest_edge": 16}, max_image_size={"longest_edge": 16}
    )
    processor = Idefics3Processor(pictures, byte_tokenizer(), image_seq_len=4, chat_template=CHAT)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_causal() -> Callable[..., Path]:
    """Write another tiny model: `make_causal(folder, model_type, chat, **sizes)`."""
    return write_causal


@pytest.fixture(scope="session")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA of three thin layers with a chat template."""
    return write_causal(tmp_path_factory.mktemp("causal") / "tiny-llama")


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Idefics3 whose pictures of 16 by 16 are four tokens each."""
    return write_seeing(tmp_path_factory.mktemp("seeing") / "tiny-idefics3")


# vLLM's attention on a CPU wants heads of 32 numbers or more.
WIDE = {"hidden_size": 128}


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA of three layers that vLLM can read on a CPU."""
    return write_causal(tmp_path_factory.mktemp("wide") / "tiny-llama", **WIDE)


@pytest.fixture(scope="session")
def wide_seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Idefics3 that vLLM can read on a CPU."""
    return write_seeing(tmp_path_factory.mktemp("wide") / "tiny-idefics3", **WIDE)


def write_adapter(folder: Path, base: Path) -> Path:
    """A LoRA adapter that has learnt something."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory, causal: Path) -> Path:
    """An adapter of `causal`."""
    return write_adapter(tmp_path_factory.mktemp("adapters") / "lora", causal)


@pytest.fixture(scope="session")
def wide_adapter(tmp_path_factory: pytest.TempPathFactory, wide: Path) -> Path:
    """An adapter of `wide`."""
    return write_adapter(tmp_path_factory.mktemp("adapters") / "wide-lora", wide)


async def answers_of(teacher: LocalModelTeacher, examples: Sequence[Example]) -> Sequence[Answer]:
    async with teacher:
        return await teacher.answer(examples)


@pytest.fixture(scope="session")
def ask() -> Callable[..., Sequence[Answer]]:
    """Ask a local model: `ask(folder, examples, store, **settings)`."""

    def asked(
        folder: Path, examples: Sequence[Example], store: str = "text", **settings: Any
    ) -> Sequence[Answer]:
        import asyncio

        torch.set_num_threads(1)
        teacher = LocalModelTeacher(
            TeacherSettings(name=str(folder), store=tuple(store.split(",")), **settings)
        )
        return asyncio.run(answers_of(teacher, examples))

    return asked


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[Example]]:
    """Examples of prompts, each with its answer to score: `rows(prompts, answers)`."""

    def made(prompts: Sequence[str], answers: Sequence[str] | None = None) -> list[Example]:
        plain = [
            Example(id=f"row-{i}", task="free", split="train", fields={}, prompt=prompt)
            for i, prompt in enumerate(prompts)
        ]
        if answers is None:
            return plain
        return [replace(row, answer_to_score=text) for row, text in zip(plain, answers, strict=True)]

    return made


@pytest.fixture(scope="session")
def load() -> Callable[[Path], tuple[Any, Any]]:
    """Model and tokenizer as transformers alone loads them, in float32."""

    def loaded(folder: Path) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", local_files_only=True).eval()
        return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)

    return loaded
