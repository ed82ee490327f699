"""Loading a local model whole, or saying in one line why not."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, TeacherError
from teacher_cache.teachers.local.architecture import Kind
from teacher_cache.teachers.local.folder import ModelFolder
from teacher_cache.teachers.local.options import Device, Dtype
from teacher_cache.teachers.local.prompts import one_line

_ADVICE = "give a smaller model, or --option dtype=bfloat16"
# What a CPU's allocators say, CUDA where it is not torch's own allocator that asks, and the libraries on it.
_NO_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "CUDA error: out of memory",
    "STATUS_ALLOC_FAILED",
)

# Each kind's class of transformers.
_CLASSES = {
    Kind.CAUSAL: "AutoModelForCausalLM",
    Kind.VISION: "AutoModelForImageTextToText",
    Kind.ENCODER: "AutoModel",
}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, with what stands before it.

    Attributes:
        model: on its device, without dropout.
        tokenizer: of the model.
        processor: of a model that sees; None of others.
        ends: ids that end a text: those that the model, and those that its tokenizer names.
        pad: id of the padding, which no token of a text looks at.
    """

    model: Any
    tokenizer: Any
    processor: Any
    ends: frozenset[int]
    pad: int


def load_model(
    folder: ModelFolder, kind: Kind, device: Device, dtype: Dtype, *, trust_remote_code: bool
) -> LoadedModel:
    """Load tokenizer and weights from a folder, without the network.

    Raises:
        TeacherError: they do not fit each other, are damaged or are not all there.
    """
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    settings: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    with loading_errors(folder.path, "model", device, _ADVICE), _without_report():
        tokenizer, processor = _tokenizer(folder, kind, settings)
        model, report = getattr(transformers, _CLASSES[kind]).from_pretrained(
            folder.path,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **settings,
        )
        _check_whole(folder, report)
        model = model.to(device).eval().requires_grad_(requires_grad=False)
    ends = _ends(model, tokenizer)
    if kind is not Kind.ENCODER:
        # A model's own settings of sampling and penalties would change what is said unseen.
        model.generation_config = transformers.GenerationConfig()
    pad = tokenizer.pad_token_id
    return LoadedModel(model, tokenizer, processor, ends, min(ends, default=0) if pad is None else pad)


def load_tokenizer(folder: ModelFolder, kind: Kind, *, trust_remote_code: bool) -> tuple[Any, Any]:
    """Load what stands before a model: its tokenizer, and the processor of a model that sees.

    Raises:
        TeacherError: they are damaged or not all there.
    """
    with loading_errors(folder.path, "model", "cpu", _ADVICE):
        return _tokenizer(folder, kind, {"local_files_only": True, "trust_remote_code": trust_remote_code})


def _tokenizer(folder: ModelFolder, kind: Kind, settings: dict[str, Any]) -> tuple[Any, Any]:
    import transformers

    if kind is Kind.VISION:
        processor = transformers.AutoProcessor.from_pretrained(folder.path, **settings)
        return processor.tokenizer, processor
    return transformers.AutoTokenizer.from_pretrained(folder.path, **settings), None


def _check_whole(folder: ModelFolder, report: dict[str, Any]) -> None:
    # Sentence encoders are often published without the pooler that BERT's class has; its output is not read.
    for name, found, wanted in sorted(report["mismatched_keys"]):
        raise TeacherError(
            f"{folder.path}: {name} is {_size(found)} in its weights and {_size(wanted)} by its config.json; "
            "give a folder whose two agree"
        )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise TeacherError(
            f"{folder.path}: its weights lack {missing[0]} and {len(missing) - 1} more that the model needs; "
            "give a folder that has them all"
        )


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


@contextmanager
def _without_report() -> Generator[None]:
    # What transformers prints of missing weights on many lines is said in one by `_check_whole`.
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends = [named] if isinstance(named, int) else list(named or ())
    return frozenset(end for end in [*ends, tokenizer.eos_token_id] if end is not None)


@contextmanager
def loading_errors(path: Path | str, what: str, device: Device, advice: str) -> Generator[None]:
    """Say in one line why weights cannot be loaded.

    Args:
        path: of the folder.
        what: is loaded, `model` or `pipeline`.
        device: that they are loaded onto.
        advice: what to do where memory is short.
    """
    try:
        yield
    except TeacherError:
        raise
    except Exception as error:  # noqa: BLE001 - four libraries read here, each with errors of its own
        if is_out_of_memory(error):
            raise TeacherError(f"{path}: no memory for its weights on {device}; {advice}") from None
        raise TeacherError(
            f"{path}: the {what} cannot be loaded ({one_line(error)}); give another folder"
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory; only torch's own CUDA allocator has a class for it."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def check_generation(num_samples: int, temperature: float) -> None:
    """Refuse to write the same text again and again.

    Raises:
        ConfigError: several samples at temperature 0.
    """
    if num_samples > 1 and temperature == 0:
        raise ConfigError(
            f"--num-samples {num_samples} with --sampling-temperature 0 gives one text {num_samples} times; "
            "give a temperature above 0"
        )
