"""The options of `openai:`, and what can be refused about them before anything is asked."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Json

from schemas.codec import MAX_VOCAB_SIZE
from schemas.errors import ConfigError
from teacher_cache.teachers.openai_service.address import OPENAI_HOST, Address
from teacher_cache.teachers.teacher import WHOLE_VOCABULARY, TeacherSettings, parse_options

Endpoint = Literal["chat", "completions", "embeddings", "images"]
SIGNALS: Mapping[Endpoint, tuple[str, ...]] = {
    "chat": ("text", "logprobs"),
    "completions": ("text", "logprobs"),
    "embeddings": ("repr",),
    "images": ("repr",),
}
OPENAI_MOST_ENTRIES = 20
_MOST_BYTES = 256 << 20
_BYTES_OF_ENTRY = 256  # as JSON, with room to spare
_TOKENS_TO_SCORE = 1 << 15  # of a prompt with its answer
_SECRET = re.compile(
    r"(api|access|auth|secret|private)[-_ ]?(key|token)|secret|passw|credential|authori[sz]ation|bearer"
    r"|^(key|token)$",
    re.IGNORECASE,
)
# What requests are made of; an extra body adds to it, and changes none of it.
_OURS = (
    *("model", "messages", "prompt", "input", "n", "seed", "temperature", "max_tokens", "dimensions", "size"),
    *("max_completion_tokens", "logprobs", "top_logprobs", "prompt_logprobs", "stream", "encoding_format"),
    *("reasoning_effort", "echo", "continue_final_message", "add_generation_prompt"),
)


class OpenAIOptions(BaseModel):
    """`--option KEY=VALUE` of this backend.

    Attributes:
        endpoint: what of the service is asked; None is embeddings where representations alone are stored,
            else chat.
        tokenizer: folder with a tokenizer.json, or that file: gives the size of the vocabulary, and the ids
            of tokens whose texts alone a service tells.
        vocab_size: instead of the tokenizer's, for models whose vocabulary is padded.
        dimensions: of an embedding.
        image_size: such as 1024x1024.
        image_encoder: folder of a vision model that turns pictures into representations.
        reasoning_effort: as the service calls it.
        extra_body: JSON object with fields of this service alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Endpoint | None = None
    tokenizer: Path | None = None
    vocab_size: int | None = Field(None, ge=1, le=MAX_VOCAB_SIZE)
    dimensions: int | None = Field(None, ge=1)
    image_size: str | None = Field(None, pattern=r"^(\d+x\d+|auto)$")
    image_encoder: Path | None = None
    reasoning_effort: str | None = None
    extra_body: Json[dict[str, Any]] = {}


def read_options(settings: TeacherSettings, address: Address) -> tuple[Endpoint, OpenAIOptions]:
    """The options, and the endpoint that follows from them.

    Raises:
        ConfigError: an option that there is not, or that cannot go with what is asked.
    """
    options = parse_options(OpenAIOptions, "openai", settings.options)
    _check_extra_body(options.extra_body, os.environ.get(settings.service.api_key_env, ""))
    endpoint = options.endpoint or ("embeddings" if settings.store == ("repr",) else "chat")
    _check_signals(endpoint, settings)
    _check_belongs(endpoint, options)
    if "repr" in settings.store:
        _check_width(endpoint, options)
    if "logprobs" in settings.store:
        _check_entries(options, settings, address)
    return endpoint, options


def most_bytes_of(settings: TeacherSettings, vocab_size: int) -> int:
    """Bytes that an answer may have: a picture and much text fit, and all entries that are asked for."""
    entries, generation = settings.entries, settings.generation
    top_k = vocab_size if entries.top_k == WHOLE_VOCABULARY else entries.top_k
    tokens = _TOKENS_TO_SCORE if entries.given_answers else generation.max_tokens * generation.num_samples
    told = tokens * top_k * _BYTES_OF_ENTRY if "logprobs" in settings.store else 0
    return max(_MOST_BYTES, told)


def _check_signals(endpoint: Endpoint, settings: TeacherSettings) -> None:
    given = SIGNALS[endpoint]
    if wrong := [signal for signal in settings.store if signal not in given]:
        raise ConfigError(
            f"--store {','.join(settings.store)}: the endpoint {endpoint} gives {', '.join(given)}, not "
            f"{wrong[0]}; store what it gives, or choose --option endpoint={'|'.join(SIGNALS)}"
        )
    if settings.generation.system is not None and endpoint != "chat":
        raise ConfigError(f"--system: the endpoint {endpoint} has no conversations; put it into --template")
    if settings.generation.num_samples > 1 and endpoint == "images":
        raise ConfigError("--num-samples: the endpoint images makes one picture a row; leave it out")


def _check_belongs(endpoint: Endpoint, options: OpenAIOptions) -> None:
    belongs: Mapping[str, tuple[Endpoint, ...]] = {
        "dimensions": ("embeddings",),
        "image_size": ("images",),
        "image_encoder": ("images",),
        "reasoning_effort": ("chat",),
        "tokenizer": ("chat", "completions"),
        "vocab_size": ("chat", "completions"),
    }
    for name, endpoints in belongs.items():
        if getattr(options, name) is not None and endpoint not in endpoints:
            raise ConfigError(
                f"--option {name.replace('_', '-')}: the endpoint is {endpoint}, it goes with "
                f"{' or '.join(endpoints)}; leave it out, or give --option endpoint={endpoints[0]}"
            )


def _check_width(endpoint: Endpoint, options: OpenAIOptions) -> None:
    if endpoint == "embeddings" and options.dimensions is None:
        raise ConfigError(
            "--store repr: how many numbers an embedding has must be known before the first call; "
            "give --option dimensions=N"
        )
    if endpoint == "images" and options.image_encoder is None:
        raise ConfigError(
            "--store repr: pictures are turned into representations here; give "
            "--option image-encoder=DIR with a vision model"
        )


def _check_entries(options: OpenAIOptions, settings: TeacherSettings, address: Address) -> None:
    entries = settings.entries
    if entries.codec == "sampled":
        raise ConfigError(
            "--codec sampled draws from the whole distribution, which no service shows; give another codec"
        )
    if options.tokenizer is None and options.vocab_size is None:
        raise ConfigError(
            "--store logprobs: the size of the vocabulary must be known; give --option tokenizer=DIR with "
            "the model's tokenizer.json, or --option vocab-size=N for a vLLM server"
        )
    if address.host == OPENAI_HOST and not 1 <= entries.top_k <= OPENAI_MOST_ENTRIES:
        raise ConfigError(
            f"--top-k {entries.top_k}: {OPENAI_HOST} gives 1 to {OPENAI_MOST_ENTRIES} entries a token; give "
            f"--top-k {OPENAI_MOST_ENTRIES}"
        )
    if entries.top_k < 1 and entries.top_k != WHOLE_VOCABULARY:
        raise ConfigError(f"--top-k {entries.top_k}: give 1 or more, or -1 for the whole vocabulary")


def _check_extra_body(extra: Mapping[str, Any], key: str) -> None:
    if ours := [name for name in extra if name in _OURS]:
        raise ConfigError(f"--option extra-body: {ours[0]} has an option of its own; use that")
    for name in _names(extra):
        if _SECRET.search(name):
            raise ConfigError(
                f"--option extra-body: {name} looks like a secret, and options are kept in the manifest; "
                "put keys into the variable that --api-key-env names"
            )
    if key and key in json.dumps(extra):
        raise ConfigError(
            "--option extra-body holds the key, and options are kept in the manifest; take it out"
        )


def _names(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*map(str, value), *(name for inner in value.values() for name in _names(inner))]
    return [name for inner in value for name in _names(inner)] if isinstance(value, list) else []
