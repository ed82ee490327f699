"""Which files a model of `transformers:` is made of, and their digests: known before anything is loaded."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, TeacherError
from schemas.files import sha256_of
from schemas.manifest import digest_of
from schemas.tokenizer import TOKENIZER_NAME, tokenizer_digest

MODELS = Path("data/models")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_TOKENIZER_MODELS = (TOKENIZER_NAME, "*.model", "vocab.*", "tekken.json")
# Beside tokenizer.json, whose digest stage two computes alike.
_TOKENIZER_SETTINGS = (
    "*.model",
    "vocab.*",
    "tekken.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_PROCESSOR = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
_SMALL = ("*.json", "*.jinja", "*.txt", "*.model", "*.py")


@dataclass(frozen=True)
class ModelFolder:
    """The files of one model.

    Attributes:
        name: as a manifest has it: the folder's own name, or the hub's.
        path: where the files are.
        commit: of the hub; None where the folder is the user's own.
    """

    name: str
    path: Path
    commit: str | None = None

    @cached_property
    def chat_template(self) -> str | None:
        """The text of the chat template, wherever the model keeps it."""
        if (self.path / "chat_template.jinja").is_file():
            return (self.path / "chat_template.jinja").read_text(encoding="utf-8")
        for name in ("chat_template.json", "tokenizer_config.json"):
            if found := self.json(name).get("chat_template"):
                return found if isinstance(found, str) else json.dumps(found, sort_keys=True)
        return None

    def revision(self) -> str:
        """The hub's commit, or a digest of all weights."""
        return self.commit or self._digest(_WEIGHTS)

    def hashes(self, *, chat: bool, code: bool) -> dict[str, str]:
        """Digests of all but the weights that answers pass through; what is not there has none.

        Args:
            chat: whether the chat template is used.
            code: whether code that comes with the model may run.
        """
        patterns = {"config": ("config.json",), "generation": ("generation_config.json",)}
        patterns |= {"tokenizer_settings": _TOKENIZER_SETTINGS, "processor": _PROCESSOR}
        patterns |= {"code": ("*.py",)} if code else {}
        hashes = {part: self._digest(names) for part, names in patterns.items() if self._files(names)}
        if (self.path / TOKENIZER_NAME).is_file():
            hashes["tokenizer"] = tokenizer_digest(self.path)
        return hashes | ({"chat_template": digest_of(self.chat_template)} if chat else {})

    def check(self) -> None:
        """Refuse what is no whole model.

        Raises:
            TeacherError: the configuration, the tokenizer or the weights are missing, or are pickles.
        """
        wanted = "give a folder with config.json, tokenizer and *.safetensors"
        if not (self.path / "config.json").is_file():
            merge = ", merge the adapter first" if (self.path / "adapter_config.json").is_file() else ""
            raise TeacherError(f"{self.path}: no config.json in it; {wanted}{merge}")
        if not self._files(_TOKENIZER_MODELS):
            raise TeacherError(f"{self.path}: no tokenizer in it; {wanted}")
        if self.commit is None:
            self.check_weights()

    def check_weights(self) -> None:
        """Refuse a model without safetensors.

        Raises:
            TeacherError: there are no weights, or they are pickles, which can run code when they are read.
        """
        if self._files(("*.safetensors",)):
            return
        if pickles := self._files(("*.bin", "*.pt", "*.pth")):
            raise TeacherError(
                f"{self.path}: {pickles[0].name} is a pickle, which can run code when it is read; convert "
                "the weights to safetensors"
            )
        raise TeacherError(f"{self.path}: no *.safetensors in it; give a folder that has the weights")

    def download_weights(self) -> None:
        """Fetch the weights of a model of the hub, if they are not there yet.

        Raises:
            TeacherError: they cannot be fetched, or are no safetensors.
        """
        if self.commit is not None:
            _download(self.name, self.commit, [*_WEIGHTS, *_SMALL])
        self.check_weights()

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the model; empty where it is not there."""
        try:
            found = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise TeacherError(f"{self.path / name} is no JSON ({error}); restore it from a copy") from None
        return found if isinstance(found, dict) else {}

    def _files(self, patterns: Sequence[str]) -> list[Path]:
        return sorted({file for pattern in patterns for file in self.path.glob(pattern) if file.is_file()})

    def _digest(self, patterns: Sequence[str]) -> str:
        return digest_of({file.name: sha256_of(file) for file in self._files(patterns)})


def find_model(name: str, revision: str | None, backend: str = "transformers") -> ModelFolder:
    """Find the folder of a model, which for a name of the hub fetches all but its weights.

    Args:
        name: a folder, the name of one below data/models, or `owner/name` of the hub.
        revision: of the hub.
        backend: that asks, for what is said where there is none.

    Raises:
        ConfigError: a folder is given a revision.
        TeacherError: there is no such folder, or the hub does not give it.
    """
    folder = next((path for path in (Path(name), MODELS / name) if name and path.is_dir()), None)
    if folder is not None:
        if revision is not None:
            raise ConfigError(
                f"--option revision={revision}: {folder} is a folder, which has none; leave it out"
            )
        folder = folder.absolute()
        return ModelFolder(folder.name, folder)
    if not _HUB_NAME.fullmatch(name) or Path(name.partition("/")[0]).exists():
        raise TeacherError(
            f"--model {backend}:{name}: no such folder; give one with a model, or owner/name of the hub"
        )
    path = _download(name, revision, list(_SMALL), backend)
    return ModelFolder(name, path, commit=path.name)


def _download(name: str, revision: str | None, patterns: list[str], backend: str = "transformers") -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # noqa: BLE001 - the hub's library raises the network's errors as they are
        reason = str(error).split("\n", maxsplit=1)[0]
        raise TeacherError(
            f"--model {backend}:{name}: the hub does not give it ({reason}); give a local folder"
        ) from None
