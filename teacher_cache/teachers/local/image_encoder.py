"""From pictures to representations: a vision model in a local folder.

The representation is what the model itself calls pooled: the projection of a model with two towers, such as
CLIP; the pooler's output; or, where the checkpoint has no pooler, the mean of the last hidden states.

Letters: B pictures, D numbers of a representation.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError, TeacherError
from schemas.files import sha256_of
from teacher_cache.teachers.local.options import Device

if TYPE_CHECKING:
    from PIL.Image import Image

_PACKAGES = ("transformers", "torch", "pillow", "numpy")
# Pictures at once on CUDA. On a CPU each goes alone: it gains nothing there, and a representation does not
# depend on its neighbours.
_BATCH = 16
_POOLER = "pooler."


@dataclass(frozen=True)
class ImageEncoder:
    """A vision model; loaded when it is first asked, or by `load`.

    Attributes:
        folder: with config.json, safetensors and preprocessor_config.json.
        device: where it runs; None is CUDA where there is one.
        asked_as: the option that named it, for what is said of a folder that is none.
    """

    folder: Path
    device: Device | None = None
    asked_as: str = "--option image-encoder"

    @cached_property
    def width(self) -> int:
        """D, from the configuration alone.

        Raises:
            ConfigError: the folder is none of a vision model.
        """
        config = self._config
        for value in (
            getattr(config, "projection_dim", None) if hasattr(config, "vision_config") else None,
            getattr(getattr(config, "vision_config", config), "hidden_size", None),
            (getattr(config, "hidden_sizes", None) or [None])[-1],
        ):
            if isinstance(value, int):
                return value
        raise ConfigError(
            f"{self.asked_as}: {self.folder} says no hidden_size; give the folder of a vision model"
        )

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Digests of all that a representation passes through.

        Raises:
            ConfigError: as `width`.
        """
        _ = self._config
        names = [*sorted(path.name for path in self.folder.glob("*.safetensors")), "preprocessor_config.json"]
        return {f"image_encoder/{name}": sha256_of(self.folder / name) for name in names}

    @property
    def versions(self) -> dict[str, str]:
        """Packages that it depends on."""
        return {name: version(name) for name in _PACKAGES}

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        needed = ("config.json", "preprocessor_config.json")
        missing = [name for name in needed if not (self.folder / name).is_file()]
        if missing or not list(self.folder.glob("*.safetensors")):
            raise ConfigError(
                f"{self.asked_as}: {self.folder} has no {(missing or ['*.safetensors'])[0]}; give the "
                "folder of a vision model"
            )
        try:
            return AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.asked_as}: {self.folder}: {str(error).splitlines()[0]}") from None

    def load(self) -> None:
        """Load the model, and see that it gives what its configuration says.

        Raises:
            TeacherError: it does not.
        """
        from PIL import Image

        found = self.encode([Image.new("RGB", (32, 32), "grey")])
        if found.shape != (1, self.width):
            raise TeacherError(
                f"{self.asked_as}: {self.folder} gives {found.shape[1:]} numbers, its "
                f"configuration says {self.width}; give another model"
            )

    def encode(self, images: Sequence["Image"]) -> NDArray[np.float32]:
        """Representations, (B, D); calls from several threads wait for each other."""
        with self._lock:
            step = _BATCH if self._loaded.device == "cuda" else 1
            parts = [self._loaded.pool(images[start : start + step]) for start in range(0, len(images), step)]
        return np.concatenate(parts)

    @cached_property
    def _lock(self) -> threading.Lock:
        return threading.Lock()

    @cached_property
    def _loaded(self) -> "_Loaded":
        return _load(self.folder, self.device, self.asked_as)

    def unload(self) -> None:
        """Free the model; what is asked next loads it again."""
        self.__dict__.pop("_loaded", None)


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    processor: Any
    device: str
    has_pooler: bool

    def pool(self, images: Sequence["Image"]) -> NDArray[np.float32]:
        import torch

        inputs = self.processor(images=list(images), return_tensors="pt").to(self.device)
        with torch.inference_mode():
            if hasattr(self.model, "get_image_features"):
                found = self.model.get_image_features(pixel_values=inputs["pixel_values"])
                pooled = found if isinstance(found, torch.Tensor) else found.pooler_output
            else:
                found = self.model(pixel_values=inputs["pixel_values"])
                pooled = found.pooler_output if self.has_pooler else found.last_hidden_state.mean(dim=1)
        return pooled.flatten(start_dim=1).float().cpu().numpy()


def _load(folder: Path, device: Device | None, asked_as: str) -> _Loaded:
    import torch
    from transformers import AutoImageProcessor, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model, report = AutoModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise TeacherError(
            f"{asked_as}: {folder} cannot be loaded ({str(error).splitlines()[0]}); give "
            "the folder of a vision model"
        ) from None
    missing = sorted(report["missing_keys"])
    if others := [name for name in missing if not name.startswith(_POOLER)]:
        raise TeacherError(f"{asked_as}: {folder} has no weights for {others[0]}; give a whole model")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    # A pooler without weights is made of noise, each time another.
    return _Loaded(model.eval().to(device), processor, device, has_pooler=not missing)
