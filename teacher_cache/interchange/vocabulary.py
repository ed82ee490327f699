"""The tokens of a foreign file: how many there are, what texts they make, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.codec import MAX_VOCAB_SIZE
from schemas.errors import ConfigError
from teacher_cache.teachers.local.folder import ModelFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A vocabulary.

    Attributes:
        size: number of ids.
        folder: of the tokenizer; None where only the size was given.
        tokenizer: of transformers.
    """

    size: int
    folder: Path | None = None
    tokenizer: Any = field(default=None, repr=False)

    @property
    def hashes(self) -> dict[str, str]:
        """Digest of the tokenizer's files, as a teacher's identity has it."""
        return {} if self.folder is None else tokenizer_hashes(self.folder)

    def text(self, ids: Sequence[int]) -> str | None:
        """What tokens say, special ones left out; None without a tokenizer."""
        return None if self.tokenizer is None else self.tokenizer.decode(ids, skip_special_tokens=True)


def find_vocabulary(folder: Path | None, size: int | None) -> Vocabulary | None:
    """The vocabulary of the options; None where neither is given.

    Raises:
        ConfigError: the tokenizer cannot be loaded, or the size is too large or too small for it.
    """
    if size is not None and not 1 <= size <= MAX_VOCAB_SIZE:
        raise ConfigError(f"--vocab-size {size}: give 1 to {MAX_VOCAB_SIZE}")
    if folder is None:
        return None if size is None else Vocabulary(size=size)
    tokenizer = load_tokenizer(folder)
    own = num_ids(tokenizer)
    if size is not None and size < own:
        raise ConfigError(
            f"--vocab-size {size}: the tokenizer in {folder} has {own} ids; give as many, or leave it out"
        )
    return Vocabulary(size=size or own, folder=folder, tokenizer=tokenizer)


def load_tokenizer(folder: Path) -> Any:
    """A tokenizer of transformers, from a folder, without the network.

    Raises:
        ConfigError: there is none that can be loaded.
    """
    if not folder.is_dir():
        raise ConfigError(f"--tokenizer {folder}: no such folder; give one with tokenizer.json")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # noqa: BLE001 - each tokenizer's library has errors of its own
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"--tokenizer {folder} cannot be loaded ({reason}); give another folder") from None


def num_ids(tokenizer: Any) -> int:
    """One more than the highest id."""
    return max(tokenizer.get_vocab().values()) + 1


def tokenizer_hashes(folder: Path) -> dict[str, str]:
    """Digest of a tokenizer's files, as `transformers:` keeps it in its identity."""
    found = ModelFolder(folder.name, folder).hashes(chat=False, code=False)
    return {name: value for name, value in found.items() if name == "tokenizer"}
