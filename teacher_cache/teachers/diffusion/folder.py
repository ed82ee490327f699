"""Which files a pipeline of `diffusers:` is made of, and their digests: known before anything is loaded."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.errors import TeacherError
from schemas.files import sha256_of
from schemas.manifest import digest_of
from teacher_cache.teachers.local.folder import ModelFolder
from teacher_cache.teachers.local.prompts import one_line

INDEX = "model_index.json"
CHECKER = "safety_checker"


@dataclass(frozen=True)
class PipelineFolder:
    """The files of one pipeline: a folder for each of its components, and an index of them.

    Attributes:
        folder: where they are.
        checks: whether the pipeline's safety checker is used.
    """

    folder: ModelFolder
    checks: bool = True

    @property
    def name(self) -> str:
        """As a manifest has it."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """Where the files are."""
        return self.folder.path

    @cached_property
    def class_name(self) -> str:
        """The pipeline's class; of one with code of its own, the class there."""
        found = self.folder.json(INDEX).get("_class_name")
        return str(found[-1] if isinstance(found, list) and found else found)

    @cached_property
    def components(self) -> dict[str, tuple[str, str]]:
        """Library and class of each component that is used."""
        parts = {
            name: (str(value[0]), str(value[1]))
            for name, value in self.folder.json(INDEX).items()
            if isinstance(value, list) and len(value) == 2 and value[0] is not None and name[0] != "_"
        }
        return {name: part for name, part in parts.items() if self.checks or name != CHECKER}

    @property
    def models(self) -> list[str]:
        """Components that have weights."""
        return [name for name in self.components if self.config(name)]

    def config(self, component: str) -> dict[str, Any]:
        """The configuration of a component with weights; empty of one without."""
        return self.folder.json(f"{component}/config.json")

    def has_checker(self) -> bool:
        """Whether a safety checker looks at the pictures."""
        return CHECKER in self.components

    def check(self, *, trust_remote_code: bool) -> None:
        """Refuse what is no whole pipeline, or would run what was not allowed to run.

        Raises:
            TeacherError: the index or a component is missing, or it has code of its own.
        """
        if not (self.path / INDEX).is_file():
            raise TeacherError(
                f"{self.path}: no {INDEX} in it; give a folder that a pipeline of diffusers was saved to"
            )
        for name in self.components:
            if not (self.path / name).is_dir():
                raise TeacherError(
                    f"{self.path}: {INDEX} names {name}, and there is no such folder; give a whole pipeline"
                )
        if not trust_remote_code and (code := self._code()):
            raise TeacherError(
                f"{self.path}: {code} is code of the pipeline's own; read it, then give "
                "--option trust-remote-code=true"
            )
        if self.folder.commit is None:
            self.check_weights()

    def check_weights(self) -> None:
        """Refuse components without safetensors.

        Raises:
            TeacherError: one has no weights, or pickles, which can run code when they are read.
        """
        for name in self.models:
            if self._files([name], "*.safetensors"):
                continue
            pickles = [file for kind in ("*.bin", "*.pt", "*.ckpt") for file in self._files([name], kind)]
            if pickles:
                raise TeacherError(
                    f"{self.path / name}: {pickles[0].name} is a pickle, which can run code when it is read; "
                    "convert the weights to safetensors"
                )
            raise TeacherError(f"{self.path / name}: no *.safetensors in it; give a whole pipeline")

    def download_weights(self, variant: str | None) -> None:
        """Fetch the weights of a pipeline of the hub, if they are not there yet.

        Raises:
            TeacherError: they cannot be fetched, or are no safetensors.
        """
        if self.folder.commit is not None:
            from diffusers.pipelines.pipeline_utils import DiffusionPipeline

            try:
                DiffusionPipeline.download(
                    self.name, revision=self.folder.commit, use_safetensors=True, variant=variant
                )
            except Exception as error:  # noqa: BLE001 - the hub's library raises the network's errors as they are
                raise TeacherError(
                    f"--model diffusers:{self.name}: the hub does not give it ({one_line(error)}); give a "
                    "local folder"
                ) from None
        self.check_weights()

    def revision(self) -> str:
        """The hub's commit, or a digest of all weights."""
        return self.folder.commit or self._digest(self._files(self.components, "*.safetensors"))

    def hashes(self, *, code: bool) -> dict[str, str]:
        """Digests of all but the weights that latents pass through: a component each, and the index.

        Args:
            code: whether code that comes with the pipeline may run.
        """
        kinds = ("*.json", "*.txt", "*.model", *(["*.py"] if code else []))
        found = {
            name: [file for kind in kinds for file in self._files([name], kind)] for name in self.components
        }
        index = [self.path / INDEX, *(sorted(self.path.glob("*.py")) if code else [])]
        return {name: self._digest(files) for name, files in ({"index": index} | found).items() if files}

    def _code(self) -> str | None:
        """The first file of Python that loading would run."""
        if isinstance(self.folder.json(INDEX).get("_class_name"), list):
            return f"{self.folder.json(INDEX)['_class_name'][0]}.py"
        named = {name: f"{library}.py" for name, (library, _) in self.components.items()}
        files = [self.path / name / file for name, file in named.items()]
        files += [
            self.path / f"{name}.py" for name, (library, _) in self.components.items() if library == name
        ]
        own = [file for file in files if file.is_file()]
        mapped = [self.path / name for name in self.models if self.config(name).get("auto_map")]
        return next((str(path.relative_to(self.path)) for path in [*own, *mapped]), None)

    def _files(self, components: Iterable[str], kind: str) -> list[Path]:
        return sorted(file for name in components for file in (self.path / name).glob(kind) if file.is_file())

    def _digest(self, files: Sequence[Path]) -> str:
        return digest_of({file.relative_to(self.path).as_posix(): sha256_of(file) for file in files})


def read_header(path: Path) -> dict[str, Any]:
    """Names, types and shapes in a safetensors file, without its numbers.

    Raises:
        TeacherError: it is none.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length) if length <= 100_000_000 else b"")
    except (OSError, ValueError) as error:
        raise TeacherError(f"{path} is no safetensors file ({error}); give another") from None
    return {name: value for name, value in header.items() if name != "__metadata__"}
