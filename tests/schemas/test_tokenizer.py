import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ConfigError
from schemas.tokenizer import tokenizer_digest

PLAIN: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [{"id": 2, "content": "<end>"}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]},
}


def digest(folder: Path, settings: dict[str, Any], **layout: Any) -> str:
    (folder / "tokenizer.json").write_text(json.dumps(settings, **layout))
    return tokenizer_digest(folder)


@pytest.mark.parametrize(
    "other",
    [
        PLAIN | {"version": "2.0"},
        PLAIN | {"truncation": {"max_length": 8}, "padding": {"strategy": "BatchLongest"}},
        PLAIN | {"model": PLAIN["model"] | {"merges": [["a", "b"]]}},
        dict(reversed(PLAIN.items())),
    ],
)
def test_what_changes_no_id_changes_no_digest(tmp_path: Path, other: dict[str, Any]) -> None:
    assert digest(tmp_path, other, indent=3) == digest(tmp_path, PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        PLAIN | {"added_tokens": [{"id": 3, "content": "<end>"}]},
        PLAIN | {"normalizer": {"type": "Lowercase"}},
        PLAIN | {"model": PLAIN["model"] | {"vocab": {"a": 1, "b": 0}}},
        PLAIN | {"model": PLAIN["model"] | {"merges": []}},
    ],
)
def test_what_changes_ids_changes_it(tmp_path: Path, other: dict[str, Any]) -> None:
    assert digest(tmp_path, other) != digest(tmp_path, PLAIN)


def test_a_folder_and_its_file_are_one(tmp_path: Path) -> None:
    assert digest(tmp_path, PLAIN) == tokenizer_digest(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"model": 3}'),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    digest(tmp_path, PLAIN)
    spoil(tmp_path / "tokenizer.json")
    with pytest.raises(ConfigError, match=r"is no tokenizer \(.*\); give a tokenizer.json") as refusal:
        tokenizer_digest(tmp_path)
    assert "\n" not in str(refusal.value)
