"""What a model of `transformers:` can do, read from its configuration alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from schemas.errors import ConfigError, TeacherError
from teacher_cache.teachers.local.folder import ModelFolder


class Kind(StrEnum):
    """How a model is loaded and read."""

    CAUSAL = "causal"
    """Writes texts, and reads nothing else."""
    VISION = "vision"
    """Writes texts, and reads pictures too."""
    ENCODER = "encoder"
    """Has hidden states and writes nothing."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's shape.

    Attributes:
        kind: how it is loaded.
        model_type: in transformers' words.
        width: of its hidden states.
        num_layers: layers that have hidden states.
        vocab_size: of its logits; None of an encoder.
        context: most tokens of a text; None is no limit that the configuration knows.
        left_to_right: whether a token sees none that come after it, so that only the last has seen all.
    """

    kind: Kind
    model_type: str
    width: int
    num_layers: int
    vocab_size: int | None
    context: int | None
    left_to_right: bool

    @property
    def writes(self) -> bool:
        """Whether it has logits of the next token."""
        return self.kind is not Kind.ENCODER

    def check(self, name: str, store: Sequence[str], layer: int) -> None:
        """Refuse what this model cannot give.

        Raises:
            ConfigError: a signal that wants a language model, or a layer that there is not.
        """
        if not self.writes and (wrong := [signal for signal in store if signal != "repr"]):
            raise ConfigError(
                f"--store {','.join(store)}: {name} is of type {self.model_type} without a causal language-"
                f"model head, so it gives no {wrong[0]}; give --store repr, or a model that writes"
            )
        if not -self.num_layers - 1 <= layer <= self.num_layers:
            raise ConfigError(
                f"--option layer={layer}: {name} has hidden states 0 to {self.num_layers}; give one of them, "
                "or -1 for the last"
            )


def read_architecture(folder: ModelFolder, *, trust_remote_code: bool) -> Architecture:
    """Read a model's shape.

    Raises:
        TeacherError: the configuration cannot be read, or is of a model that no text goes into alone.
    """
    config = _config(folder, trust_remote_code=trust_remote_code)
    if config.is_encoder_decoder:
        raise TeacherError(
            f"{folder.path}: {config.model_type} is an encoder with a decoder, which is not asked here; "
            "give a causal language model, an image-text-to-text model or an encoder"
        )
    text = config.get_text_config()
    kind = _kind(config)
    if getattr(text, "hidden_size", None) is None or (kind is Kind.ENCODER and text is not config):
        raise TeacherError(
            f"{folder.path}: {config.model_type} is no model that a text alone goes into; give a causal "
            "language model, an image-text-to-text model or a text encoder"
        )
    return Architecture(
        kind=kind,
        model_type=config.model_type,
        width=text.hidden_size,
        num_layers=text.num_hidden_layers,
        vocab_size=None if kind is Kind.ENCODER else text.vocab_size,
        context=_context(folder, text, kind),
        left_to_right=_is_left_to_right(text, kind),
    )


def _config(folder: ModelFolder, *, trust_remote_code: bool) -> Any:
    from transformers import AutoConfig

    if folder.json("config.json").get("auto_map") and not trust_remote_code:
        from transformers import CONFIG_MAPPING

        if folder.json("config.json").get("model_type") not in CONFIG_MAPPING:
            raise TeacherError(
                f"{folder.path}: this model runs code of its own; read it, then give "
                "--option trust-remote-code=true"
            )
    try:
        return AutoConfig.from_pretrained(
            folder.path, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # noqa: BLE001 - a configuration's own checks raise errors of many kinds
        reason = " ".join(str(error).split())[:200]
        raise TeacherError(
            f"{folder.path / 'config.json'} is no model that transformers knows: {reason}; give another model"
        ) from None


def _kind(config: Any) -> Kind:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    built = set(config.architectures or ())
    if config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return Kind.VISION
    # The model type alone would call BERT a language model: transformers has a BertLMHeadModel.
    if built & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
        return Kind.CAUSAL
    return (
        Kind.CAUSAL if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}) else Kind.ENCODER
    )


def _is_left_to_right(text: Any, kind: Kind) -> bool:
    """A language model, also one saved without its head; BERT and its like are known by their masks."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if kind is not Kind.ENCODER:
        return True
    model_type = text.model_type
    return (
        model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


def _context(folder: ModelFolder, text: Any, kind: Kind) -> int | None:
    limits = [getattr(text, "max_position_embeddings", None)]
    if kind is Kind.ENCODER:
        # RoBERTa counts two positions that no token can have; only its tokenizer knows. The tokenizers of
        # causal models are often wrong about it.
        limits.append(folder.json("tokenizer_config.json").get("model_max_length"))
    known = [int(limit) for limit in limits if limit]
    return min(known) if known else None
