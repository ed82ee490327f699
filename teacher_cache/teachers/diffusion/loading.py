"""Loading a pipeline whole, and an adapter that fits it, or saying in one line why not."""

from pathlib import Path
from typing import Any

from schemas.errors import TeacherError
from teacher_cache.teachers.diffusion.folder import PipelineFolder, read_header
from teacher_cache.teachers.diffusion.options import DiffusionDtype, DiffusionOptions
from teacher_cache.teachers.local.loading import loading_errors
from teacher_cache.teachers.local.options import Device
from teacher_cache.teachers.local.prompts import one_line

_ADVICE = "give --option dtype=float16, or a smaller pipeline"

_ADAPTER = "adapter"
_LORA_INPUTS = ("lora_A.weight", "lora.down.weight", "lora_down.weight")


def hush() -> None:
    """Leave the terminal to our own lines.

    The libraries' warnings are about texts that are cut, which rows say for themselves, about parts that
    are not installed and not needed, and about their own future.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    from diffusers.utils import logging as of_diffusers

    of_diffusers.set_verbosity_error()
    of_diffusers.disable_progress_bar()


def load_pipeline(
    folder: PipelineFolder, options: DiffusionOptions, device: Device, dtype: DiffusionDtype
) -> Any:
    """Load every component from a folder, without the network.

    Raises:
        TeacherError: they do not fit each other, are damaged or are not all there.
    """
    import torch
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    settings: dict[str, Any] = {
        "use_safetensors": True,
        "local_files_only": True,
        "variant": options.variant,
        "trust_remote_code": options.trust_remote_code,
    }
    parts: dict[str, Any] = (
        {} if folder.checks else {"safety_checker": None, "requires_safety_checker": False}
    )
    with loading_errors(folder.path, "pipeline", device, _ADVICE):
        parts |= _of_transformers(folder, settings | {"dtype": dtype})
        pipeline = DiffusionPipeline.from_pretrained(
            folder.path, dtype=getattr(torch, dtype), **settings, **parts
        )
        _check_whole(folder, pipeline)
        pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _of_transformers(folder: PipelineFolder, settings: dict[str, Any]) -> dict[str, Any]:
    """Text encoders, whose library makes up the weights that are missing and says so only if asked."""
    import transformers

    loaded: dict[str, Any] = {}
    for name in folder.models:
        library, class_name = folder.components[name]
        if library != "transformers":
            continue
        loaded[name], report = getattr(transformers, class_name).from_pretrained(
            folder.path / name, output_loading_info=True, **settings
        )
        if wrong := sorted(map(str, {*report["missing_keys"], *report["mismatched_keys"]})):
            raise _lacks(folder, name, wrong)
    return loaded


def _check_whole(folder: PipelineFolder, pipeline: Any) -> None:
    for name in folder.models:
        # What diffusers finds no weights for stays without numbers.
        part = getattr(pipeline, name)
        if wrong := [key for key, value in part.state_dict().items() if value.is_meta]:
            raise _lacks(folder, name, wrong)


def _lacks(folder: PipelineFolder, component: str, missing: list[str]) -> TeacherError:
    return TeacherError(
        f"{folder.path / component}: its weights lack {missing[0]} and {len(missing) - 1} more that the "
        "pipeline needs; give a folder that has them all"
    )


def find_adapter(path: Path) -> Path:
    """The file of a LoRA adapter.

    Raises:
        TeacherError: there is none, or more than one, or it is a pickle.
    """
    if path.is_file() and path.suffix == ".safetensors":
        return path.absolute()
    found = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    named = [file for file in found if file.name == "pytorch_lora_weights.safetensors"] or found
    if len(named) == 1:
        return named[0].absolute()
    reason = "no *.safetensors in it" if path.is_dir() else "no such folder, and no *.safetensors file"
    if named:
        reason = f"{len(named)} *.safetensors in it, and none named pytorch_lora_weights.safetensors"
    elif path.is_dir() and (pickles := sorted(path.glob("*.bin"))):
        reason = f"{pickles[0].name} is a pickle, which can run code when it is read"
    raise TeacherError(f"--option adapter={path}: {reason}; give the file or folder of a LoRA adapter")


def load_adapter(pipeline: Any, file: Path, scale: float, name: str) -> None:
    """Put a LoRA adapter on a loaded pipeline.

    Raises:
        TeacherError: a part of it finds no place in this pipeline, or does not fit there.
    """
    wanted = sum(key.endswith(_LORA_INPUTS) for key in read_header(file))
    refused = f"--option adapter={file}: it is no adapter of {name}"
    if not hasattr(pipeline, "load_lora_weights"):
        raise TeacherError(f"{refused}, which takes none; leave it out")
    try:
        pipeline.load_lora_weights(
            file.parent, weight_name=file.name, adapter_name=_ADAPTER, local_files_only=True
        )
    except Exception as error:  # noqa: BLE001 - two libraries match names and shapes, with errors of many kinds
        raise TeacherError(f"{refused} ({one_line(error)}); give one that was trained on it") from None
    parts = [part for part in pipeline.components.values() if hasattr(part, "named_modules")]
    placed = sum(
        _ADAPTER in getattr(module, "lora_A", {}) for part in parts for _, module in part.named_modules()
    )
    if placed < wanted or not placed:
        raise TeacherError(
            f"{refused}: {placed} of its {wanted} layers find a place there; give one that was trained on it"
        )
    pipeline.set_adapters([_ADAPTER], [scale])
