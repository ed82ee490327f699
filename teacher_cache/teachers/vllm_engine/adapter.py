"""A LoRA adapter beside its base: whether they belong together, known before anything is loaded."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.errors import TeacherError
from schemas.files import sha256_of
from schemas.manifest import digest_of
from teacher_cache.teachers.local.folder import ModelFolder

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# The ranks that vLLM makes room for.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class Adapter:
    """A folder as PEFT writes it.

    Attributes:
        path: of the folder.
    """

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """What it was trained on, and how.

        Raises:
            TeacherError: there is none that can be read.
        """
        try:
            return json.loads((self.path / _CONFIG).read_bytes())
        except (OSError, ValueError) as error:
            raise TeacherError(
                f"--option adapter: {self.path / _CONFIG} cannot be read ({error}); give a folder that "
                "PEFT wrote"
            ) from None

    @property
    def max_rank(self) -> int:
        """Room that vLLM must make for it."""
        rank = int(self.config.get("r", 0))
        return next((room for room in _RANKS if room >= rank), rank)

    @property
    def digest(self) -> str:
        """Of its weights and its configuration."""
        return digest_of({name: sha256_of(self.path / name) for name in (_CONFIG, _WEIGHTS)})

    def check(self, base: ModelFolder) -> None:
        """Refuse an adapter of another kind, or of another base.

        Raises:
            TeacherError: it is no LoRA adapter, names another base, or has weights of other sizes.
        """
        kind = self.config.get("peft_type")
        if kind != "LORA":
            raise TeacherError(
                f"--option adapter: {self.path} is of type {kind}, vLLM takes LORA; merge it first"
            )
        if not (self.path / _WEIGHTS).is_file():
            raise TeacherError(f"--option adapter: {self.path} has no {_WEIGHTS}; save it as safetensors")
        self._check_name(base)
        self._check_sizes(base)

    def _check_name(self, base: ModelFolder) -> None:
        named = str(self.config.get("base_model_name_or_path") or "")
        if Path(named).name.lower() != Path(base.name).name.lower():
            raise TeacherError(
                f"--option adapter: {self.path} was trained on {named or 'a base without a name'}, the model "
                f"is {base.name}; give its own base, or mend base_model_name_or_path in {_CONFIG}"
            )

    def _check_sizes(self, base: ModelFolder) -> None:
        sizes = {
            name: size for file in base.path.glob("*.safetensors") for name, size in _sizes(file).items()
        }
        for name, size in _sizes(self.path / _WEIGHTS).items():
            module, _, part = name.removeprefix("base_model.model.").rpartition(".lora_")
            found = sizes.get(f"{module}.weight")
            if found is None or part not in ("A.weight", "B.weight"):
                continue  # vLLM renames modules of its own; what fits none it refuses itself
            wanted = found[1] if part.startswith("A") else found[0]
            given = size[1] if part.startswith("A") else size[0]
            if given != wanted:
                raise TeacherError(
                    f"--option adapter: {self.path}: {name} is {given} wide, {base.name} needs {wanted}; "
                    "give an adapter of this base"
                )


def _sizes(file: Path) -> dict[str, list[int]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TeacherError(f"{file} is no safetensors file ({error}); restore it from a copy") from None
