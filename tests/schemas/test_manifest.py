"""The manifest: written whole, read strictly, compared by name."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ManifestError
from schemas.manifest import CacheManifest, ShardFile
from schemas.manifest_file import differences, parse_manifest, read_manifest, write_manifest

Cache = tuple[Path, CacheManifest]


def with_file(raw: Any, **change: object) -> Any:
    return raw | {"files": [raw["files"][0] | change, *raw["files"][1:]]}


def test_it_comes_back_as_it_was(cache: Cache) -> None:
    assert read_manifest(cache[0]) == cache[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw | {"schema_version": 2}, r"has schema version 2, this reader needs 1"),
        (lambda raw: raw | {"colour": "red"}, r"is damaged: colour: Extra inputs are not permitted"),
        (lambda raw: {**raw, "teacher": {}}, r"is damaged: teacher.backend: Field required"),
        (lambda _: [1], r"has schema version None"),
        (lambda raw: raw | {"schema_version": True}, r"has schema version True, this reader needs 1"),
        (lambda raw: raw | {"schema_version": 1.0}, r"has schema version 1.0, this reader needs 1"),
        (lambda raw: raw | {"schema_version": "1"}, r"has schema version '1', this reader needs 1"),
        (lambda raw: with_file(raw, rows=-1), r"is damaged: files.0.rows: .* greater than or equal to 0"),
        (lambda raw: with_file(raw, errors=True), r"is damaged: files.0.errors: .* valid integer"),
        (lambda raw: with_file(raw, bytes=2.0), r"is damaged: files.0.bytes: .* valid integer"),
        (lambda raw: with_file(raw, taught="2"), r"is damaged: files.0.taught: .* valid integer"),
        (lambda raw: with_file(raw, colour="red"), r"is damaged: files.0.colour: Unexpected keyword"),
        (lambda raw: with_file(raw, sha256=None), r"is damaged: files.0.sha256: .* valid string"),
        (lambda raw: with_file(raw, split="dev"), r"is damaged: files.0.split: "),
        (lambda raw: with_file(raw, name="../train-00000-of-00001.parquet"), r"is damaged: files.0.name: "),
        (
            lambda raw: raw | {"files": raw["files"][:1] * 2},
            r"train-00000-of-00001.parquet is listed 2 times",
        ),
    ],
)
def test_another_file_in_its_place_is_named(cache: Cache, change: Callable[[Any], Any], message: str) -> None:
    path = cache[0] / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(ManifestError, match=message):
        read_manifest(cache[0])


def test_a_file_cut_short_and_none_at_all(cache: Cache, tmp_path: Path) -> None:
    path = cache[0] / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ManifestError, match=r"manifest.json cannot be read"):
        read_manifest(cache[0])
    path.write_text("[" * 100_000)
    with pytest.raises(ManifestError, match=r"manifest.json cannot be read"):
        read_manifest(cache[0])
    with pytest.raises(
        ManifestError, match=r"no manifest.json, so no teacher cache; make one with cache-teach"
    ):
        read_manifest(cache[0] / "nowhere")


def test_a_file_of_a_hundred_thousand_takes_hundreds_of_bytes(manifest: CacheManifest) -> None:
    """A manifest of 100 million rows lists that many: one line of it must not cost what a model does."""
    name = "train-{:05d}-of-02000.parquet"
    files = tuple(
        ShardFile(name=name.format(i), split="train", rows=1, taught=1, errors=0, bytes=9, sha256=f"{i:064d}")
        for i in range(2000)
    )
    raw = manifest.model_copy(update={"files": files}).model_dump_json().encode()
    parse_manifest(raw, "warm")
    tracemalloc.start()
    held = parse_manifest(raw, "measured")
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held.files == files
    assert gc.isenabled()
    assert size / 2000 < 600
    assert peak / 2000 < 1300


def test_the_fingerprint_sees_teacher_and_request_and_no_clock(manifest: CacheManifest) -> None:
    other = manifest.teacher.model_copy(update={"revision": "2"})
    limited = manifest.request.model_copy(update={"splits": {"train": 1}})

    assert manifest.model_copy(update={"timings": {"seconds": 1.0}}).fingerprint == manifest.fingerprint
    assert manifest.model_copy(update={"teacher": other}).fingerprint != manifest.fingerprint
    assert manifest.model_copy(update={"request": limited}).fingerprint != manifest.fingerprint


def test_a_failed_write_leaves_the_old_manifest(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_manifest(cache[0], cache[1].model_copy(update={"files": ()}))

    assert read_manifest(cache[0]) == cache[1]
    assert not list(cache[0].glob(".*.tmp"))


def test_differences_are_named_with_both_values() -> None:
    found = list(differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}))

    assert found == [("a.c", 2, 4), ("d", 3, None), ("e", None, 5)]


def test_a_folder_of_caches_names_one(tmp_path: Path) -> None:
    for name in ("b", "a/deep"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_text("{}")
    with pytest.raises(ManifestError, match=r"no teacher cache; \S+/a/deep is one \(and 1 more below it\)"):
        read_manifest(tmp_path)
