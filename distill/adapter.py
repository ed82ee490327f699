"""A low-rank adapter in place of the student's weights, through peft; what was drawn anew is trained whole.

peft takes seconds to import, so only what needs it imports it.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.config import LoraConfig
from distill.pooling import pooling_of
from distill.pretrained import quiet
from distill.weights import is_hub_name
from schemas.errors import ConfigError, StudentError

ALL_LINEAR = "all-linear"
# What peft calls the file beside an adapter's weights, and in it the model that the adapter is for.
LM_HEAD = "lm_head"
CONFIG_NAME, BASE_KEY = "adapter_config.json", "base_model_name_or_path"


def adapt(backbone: Any, how: LoraConfig, fresh: Sequence[str]) -> Any:
    """Freeze a plain classifier, or a model that writes, and put an adapter into its layers, in place.

    Args:
        backbone: of `load_with_fresh`.
        how: rank, scaling, targets.
        fresh: names of modules that were drawn and not loaded: these are trained whole, with the output head
            of a classifier. A language-modelling head stays as it is.

    Returns:
        A `PeftModelForSequenceClassification` or a `PeftModelForCausalLM`.

    Raises:
        ConfigError: a target names no layer of the model.
    """
    import peft

    pooling = pooling_of(backbone)
    heads = () if pooling is None else (pooling.head,)
    config = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS if heads else peft.TaskType.CAUSAL_LM,
        r=how.lora_rank,
        lora_alpha=how.lora_alpha,  # pyright: ignore[reportArgumentType] - a float is as good
        lora_dropout=how.lora_dropout,
        # GPT-2's layers lie the other way round.
        fan_in_fan_out=any(type(part).__name__ == "Conv1D" for part in backbone.modules()),
        target_modules=_targets(backbone, how.lora_targets, *(heads or (LM_HEAD,))),
        modules_to_save=sorted({*heads, *fresh}) or None,
        use_dora=how.dora,
        use_rslora=how.rslora,
    )
    return peft.get_peft_model(backbone, config)


def _targets(backbone: Any, given: str | None, head: str) -> list[str] | str:
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    if given is None:
        return TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(backbone.config.model_type, ALL_LINEAR)
    if given == ALL_LINEAR:
        return given
    layers = [name for name in _layers(backbone) if name.partition(".")[0] != head]
    targets = [name.strip() for name in given.split(",")]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in layers):
            held = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in layers))
            raise ConfigError(
                f"--lora-targets {target}: no layer of the student has that name; "
                f"wanted some of {held}, or {ALL_LINEAR}"
            )
    return targets


def _layers(backbone: nn.Module) -> list[str]:
    """Names of what an adapter can stand beside."""
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, nn.Embedding, Conv1D)
    return [name for name, part in backbone.named_modules() if isinstance(part, kinds)]


def narrow(module: nn.Module) -> None:
    """Hold in bfloat16, in place, what of a frozen base loses nothing by it: `module.float()` undoes it.

    Only weights of linear layers, which autocast makes bfloat16 in every product, and of them those whose
    numbers are bfloat16 already, as where the folder holds them so. A training under autocast is the same to
    the bit, and is spared a copy of them in every step, which it keeps for the way back.

    Args:
        module: with a frozen base in float32.
    """
    layers = [part for part in module.modules() if type(part) is nn.Linear]
    others = [part for part in module.modules() if type(part) is not nn.Linear]
    # An embedding may have the same weight, and looks it up in float32.
    shared = {one for part in others for one in part.parameters(recurse=False)}
    for weight in (part.weight for part in layers):
        if weight.requires_grad or weight in shared:
            continue
        narrowed = weight.to(torch.bfloat16)
        if narrowed.float().equal(weight):
            weight.data = narrowed


def note_of(adapted: Any) -> str:
    """One sentence on where an adapter is, for a result."""
    config = adapted.peft_config["default"]
    layers = [name for name, part in adapted.named_modules() if hasattr(part, "lora_A")]
    names = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in layers))
    heads = ", ".join(dict.fromkeys(name for name in config.modules_to_save or () if _has(adapted, name)))
    whole = f"; whole: {heads}" if heads else ""
    return f"an adapter of rank {config.r} was trained in {len(layers)} layers ({names}){whole}"


def _has(adapted: Any, name: str) -> bool:
    return any(part == name or part.endswith(f".{name}") for part, _ in adapted.named_modules())


def save(adapted: Any, folder: Path, student: str, weights: dict[str, Tensor] | None = None) -> None:
    """Write an adapter folder: weights, adapter_config.json, and config.json with the names of the outputs.

    Args:
        adapted: the model of peft.
        folder: to write.
        student: the base as it was given; a folder below the current one is named without what leads there.
        weights: of the model of peft by name, whole; None takes them from it.
    """
    config = adapted.peft_config["default"]
    config.base_model_name_or_path = _portable(student)
    with quiet():
        # The vocabulary is never resized, which peft would ask a hub about.
        adapted.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
        adapted.get_base_model().config.save_pretrained(folder)


def _portable(student: str) -> str:
    if is_hub_name(student):
        return student
    here, path = Path.cwd(), Path(student)
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else student


def load(backbone: Any, folder: Path) -> Any:
    """Put a saved adapter into its base, for answering only.

    Raises:
        StudentError: the folder lacks some of the adapter's weights, which would be drawn without a word.
    """
    import peft
    from safetensors import safe_open

    with warnings.catch_warnings():
        # A user can overlook peft's warning: below it is an error.
        warnings.filterwarnings("ignore", "Found missing adapter keys")
        adapted = peft.PeftModel.from_pretrained(backbone, folder)
    with safe_open(folder / peft.utils.SAFETENSORS_WEIGHTS_NAME, "pt") as file:
        missing = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)) - set(file.keys())
    if missing:
        raise StudentError(f"no weights of {min(missing)}")
    return adapted


def merge(adapted: Any) -> Any:
    """Add the adapter to the weights: a plain model of transformers, which answers the same."""
    return adapted.merge_and_unload()
