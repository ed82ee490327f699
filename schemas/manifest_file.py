"""The manifest's file: read and checked, written in one step."""

import gc
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from schemas.errors import ManifestError
from schemas.files import write_text
from schemas.manifest import MANIFEST_NAME, SCHEMA_VERSION, CacheManifest


def write_manifest(folder: Path, manifest: CacheManifest) -> None:
    """Replace the manifest in one step."""
    write_text(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1) + "\n")


def read_manifest(folder: Path) -> CacheManifest:
    """Read and check the manifest of a cache.

    Raises:
        ManifestError: there is none, it is damaged, or it is of another version.
    """
    path = folder / MANIFEST_NAME
    try:
        found = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestError(
            f"{folder}: no {MANIFEST_NAME}, so no teacher cache; {_instead(folder)}"
        ) from None
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read ({error}); restore it from a copy, or run cache-teacher into a new folder"
        ) from None
    return parse_manifest(found, str(path))


def parse_manifest(found: bytes, path: str) -> CacheManifest:
    """Check the bytes of a manifest.

    Args:
        found: as they were read.
        path: where they stand, for messages.

    Raises:
        ManifestError: they are damaged, or of another version.
    """
    try:
        raw: Any = from_json(found, cache_strings="keys")
    except ValueError as error:
        raise ManifestError(
            f"{path} cannot be read ({error}); restore it from a copy, or run cache-teacher into a new folder"
        ) from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ManifestError(
            f"{path} has schema version {version!r}, this reader needs {SCHEMA_VERSION}; "
            "run cache-teacher again with this version"
        )
    try:
        with _all_is_kept():
            return CacheManifest.model_validate(raw)
    except ValidationError as error:
        raise ManifestError(
            f"{path} is damaged: {first_fault(error)}; "
            "restore it from a copy, or run cache-teacher into a new folder"
        ) from None


def _instead(folder: Path) -> str:
    """What to give in place of a folder that is no cache: one below it, or what makes one."""
    if below := sorted(
        path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{MANIFEST_NAME}")
    ):
        more = f" (and {len(below) - 1} more below it)" if len(below) > 1 else ""
        return f"{below[0]} is one{more}"
    return f"make one with cache-teacher --out {folder}"


@contextmanager
def _all_is_kept() -> Generator[None]:
    """Collect no garbage meanwhile: looking for it among 100,000 new files doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def first_fault(error: ValidationError) -> str:
    """What pydantic found first, as `key: reason`."""
    fault = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))


def differences(
    wanted: dict[str, Any], found: dict[str, Any], prefix: str = ""
) -> Iterable[tuple[str, Any, Any]]:
    """Where two nested settings differ, as (dotted name, wanted, found), for a refusal that shows both."""
    for key in dict.fromkeys([*wanted, *found]):
        left, right = wanted.get(key), found.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            yield from differences(left, right, f"{prefix}{key}.")
        elif left != right:
            yield f"{prefix}{key}", left, right
