"""Which student a path names, found out before anything heavy is imported."""

import json
import re
from hashlib import sha256
from pathlib import Path

from schemas.errors import StudentError
from schemas.files import sha256_of

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_name(student: str) -> bool:
    """Whether a student is to be fetched: `owner/name`, where no folder `owner` stands here."""
    return _HUB_NAME.fullmatch(student) is not None and not Path(student.partition("/")[0]).exists()


def name_of_student(student: str) -> str:
    """What a student is called in results: its hub name, or the last part of its folder."""
    return student if is_hub_name(student) else Path(student).resolve().name


def digest_of_student(student: str) -> str:
    """Digest of the files that decide what a student is; of its name where it comes from a hub.

    Raises:
        StudentError: the folder is missing, holds no model, or one that cannot be a student.
    """
    if is_hub_name(student):
        return sha256(student.encode()).hexdigest()
    folder = Path(student)
    _check(folder)
    files = [*sorted(folder.glob("*.safetensors")), folder / "config.json", folder / "tokenizer.json"]
    return sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


def _check(folder: Path) -> None:
    wanted = "give a folder with a whole model, such as data/models/minilm (make data)"
    if not folder.is_dir():
        raise StudentError(f"--student {folder}: no such folder; {wanted}")
    if (folder / "adapter_config.json").exists():
        raise StudentError(
            f"--student {folder}: an adapter, wanted a whole model; give one that --merge made"
        )
    for name in ("config.json", "tokenizer.json", "*.safetensors"):
        if not any(folder.glob(name)):
            raise StudentError(f"--student {folder}: no {name} in it; {wanted}")
    try:
        kind = json.loads((folder / "config.json").read_bytes()).get("model_type")
    except (ValueError, AttributeError):
        raise StudentError(f"--student {folder}: config.json is no JSON object; {wanted}") from None
    if not isinstance(kind, str):
        raise StudentError(f"--student {folder}: config.json names no model_type; {wanted}")
