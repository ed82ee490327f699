"""What a tokenizer's ids mean, as one digest that both stages compute alike."""

import json
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError
from schemas.manifest import digest_of

TOKENIZER_NAME = "tokenizer.json"
# What the last caller set, and what its writer's version adds: no id hangs on either.
_NO_MEANING = ("truncation", "padding", "version")


def tokenizer_digest(path: Path) -> str:
    """Digest of a `tokenizer.json`, whichever way it was laid out.

    Two files that differ in white space, in the order of keys, in cutting and padding, or in how merges are
    written (`"a b"` or `["a", "b"]`) have one digest.

    Args:
        path: of the file, or of the folder that holds it.

    Raises:
        ConfigError: it cannot be read, or is no tokenizer.
    """
    path = path / TOKENIZER_NAME if path.is_dir() else path
    try:
        settings = json.loads(path.read_bytes())
        model = settings["model"]
        merges = [_pair(merge) for merge in model.get("merges") or ()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path} is no tokenizer ({reason}); give a {TOKENIZER_NAME}") from None
    kept = {name: value for name, value in settings.items() if name not in _NO_MEANING}
    return digest_of({**kept, "model": {**model, "merges": merges}})


def _pair(merge: Any) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else list(merge)
