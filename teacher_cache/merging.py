"""Parts of one cache, each made on a machine of its own, joined to the bytes that one would have made."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import CacheError, MismatchError
from schemas.files import sha256_of, sync_folder, whole_file, write_text
from schemas.manifest import CacheManifest, Part, ShardFile, Spent
from schemas.manifest_file import differences, read_manifest, write_manifest
from schemas.shard import open_shard
from teacher_cache.folder import CONFIG_NAME, JOURNAL_NAME, check_same, started_cache
from teacher_cache.kept_pictures import MEDIA_NAME
from teacher_cache.lock import writer_lock
from teacher_cache.statistics import write_statistics
from teacher_cache.upload import Upload, working_folder

Parts = Mapping[Path, CacheManifest]


def merge(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Join all parts of a cache.

    Every byte of the parts is checked. Files are linked where both folders are on one disk and copied
    elsewhere; the manifest is written last, so a merge that was stopped is no cache yet, and the same command
    goes on.

    Args:
        folders: of the parts, in any order.
        out: of the whole; new, empty, or left by a merge of these parts that was stopped.

    Returns:
        What the cache holds, as `--json` prints it.

    Raises:
        CacheError: a part is missing, given twice, incomplete or damaged, or `out` holds something else.
        MismatchError: the parts are not of one cache.
    """
    if twice := [folder for folder in folders if list(folders).count(folder) > 1]:
        raise CacheError(f"{twice[0]} is given twice; give each part once")
    parts = {folder: read_manifest(folder) for folder in folders}
    wanted = _whole(parts)
    for folder in parts:
        if folder.resolve() in (out.resolve(), *out.resolve().parents):
            raise CacheError(f"--out {out} is one of the parts, or inside one; give a new folder")
    found = started_cache(out, "auto")
    if found is None:
        out.mkdir(parents=True, exist_ok=True)
        with writer_lock(out):
            # Another process may have written between the first look and the lock.
            found = started_cache(out, "auto") or _join(parts, out, wanted)
    check_same(out, wanted, found)
    if not found.complete:
        raise CacheError(
            f"--out {out} holds {found.sealed_rows} of {found.rows} rows of a run that is under way; "
            "give a new folder"
        )
    return {
        "folder": str(out),
        "rows": found.rows,
        "shards": len(found.files),
        "errors": sum(file.errors for file in found.files),
        "bytes": sum(file.bytes for file in found.files),
        "digest": found.digest,
    }


def merge_to_store(folders: Sequence[Path], url: str) -> dict[str, Any]:
    """Join all parts of a cache in a working folder of this machine, and send the whole to an object store.

    Args:
        folders: of the parts, in any order.
        url: of the whole, as of `ObjectStore`.

    Returns:
        As `merge`, the folder being the URL.

    Raises:
        ArmadaError: as `merge` and `Upload` say.
    """
    folder = working_folder(url)
    upload = Upload(url, folder)
    upload.begin()
    merged = merge(folders, folder)
    upload.publish(read_manifest(folder))
    return merged | {"folder": url}


def _whole(parts: Parts) -> CacheManifest:
    """The manifest of all parts together, statistics left out."""
    (first, manifest), *others = parts.items()
    for folder, other in others:
        _check_one_cache(first, manifest, folder, other)
    _check_all_there(parts)
    files = _in_order(manifest, [file for part in parts.values() for file in part.files])
    timings = Counter[str]()
    for part in parts.values():
        timings.update(part.timings)
    return CacheManifest(
        teacher=manifest.teacher,
        request=manifest.request,
        files=files,
        timings={name: round(value, 3) for name, value in timings.items()},
        spent=_spent([part.spent for part in parts.values() if part.spent]),
    )


def _check_one_cache(first: Path, one: CacheManifest, folder: Path, other: CacheManifest) -> None:
    for name, here, there in (
        *differences(one.teacher.model_dump(), other.teacher.model_dump(), "teacher."),
        *differences(one.request.model_dump(), other.request.model_dump(), "request."),
    ):
        raise MismatchError(
            f"{folder} is a part of another cache than {first}: {name} is {there} there, {here} here; "
            "give parts that one command made, but for --part and --out"
        )


def _check_all_there(parts: Parts) -> None:
    known: dict[int, Path] = {}
    of = {folder: _part(folder, manifest).of for folder, manifest in parts.items()}
    first, number_of_parts = next(iter(of.items()))
    for folder, manifest in parts.items():
        part = _part(folder, manifest)
        if part.of != number_of_parts:
            raise MismatchError(
                f"{folder} is part {part} and {first} is one of {number_of_parts} parts; "
                "give parts that were cut alike"
            )
        if part.number in known:
            raise MismatchError(
                f"{folder} is part {part}, and so is {known[part.number]}; give each part once"
            )
        if not manifest.complete:
            raise CacheError(
                f"{folder} holds {manifest.sealed_rows} of {manifest.rows} rows of part {part}; run its "
                "cache-teacher command again, it goes on"
            )
        known[part.number] = folder
    if missing := [number for number in range(1, number_of_parts + 1) if number not in known]:
        raise CacheError(
            f"part {missing[0]}/{number_of_parts} is missing, {len(known)} of {number_of_parts} parts are "
            "given; give the folders of all"
        )


def _part(folder: Path, manifest: CacheManifest) -> Part:
    if manifest.part is None:
        raise CacheError(
            f"{folder} is a whole cache, not a part; give folders that cache-teacher --part I/N made"
        )
    return manifest.part


def _in_order(manifest: CacheManifest, files: Iterable[ShardFile]) -> tuple[ShardFile, ...]:
    splits = list(manifest.request.splits)
    return tuple(sorted(files, key=lambda file: (splits.index(file.split), file.name)))


def _spent(spent: Sequence[Spent]) -> Spent | None:
    if not spent:
        return None
    costs = [one.cost for one in spent if one.cost is not None]
    return Spent(
        prompt_tokens=sum(one.prompt_tokens for one in spent),
        completion_tokens=sum(one.completion_tokens for one in spent),
        cost=round(sum(costs), 6) if costs else None,
        currency=next((one.currency for one in spent if one.currency), None),
    )


def _join(parts: Parts, out: Path, wanted: CacheManifest) -> CacheManifest:
    options = _options_of(next(iter(parts)))
    for folder, manifest in parts.items():
        for file in manifest.files:
            if not _is_there(out / file.name, file):
                open_shard(folder, file, manifest).close()
    # Without files: it says whose the folder is, and is no cache to read yet.
    write_manifest(out, wanted.model_copy(update={"files": ()}))
    for folder, manifest in parts.items():
        for file in manifest.files:
            if not _is_there(out / file.name, file):
                _bring(folder / file.name, out / file.name)
        for picture in sorted((folder / MEDIA_NAME).glob("*")):
            _bring(picture, out / MEDIA_NAME / picture.name)
    whole = wanted.model_copy(update={"stats_sha256": write_statistics(out, wanted)})
    if options is not None:
        # The command that would have made the whole, as one of the parts has it.
        options |= {"out": str(out), "part": None}
        write_text(out / CONFIG_NAME, json.dumps(options, indent=1, ensure_ascii=False) + "\n")
    (out / JOURNAL_NAME).mkdir(exist_ok=True)
    write_manifest(out, whole)
    return whole


def _is_there(path: Path, file: ShardFile) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and sha256_of(path) == file.sha256


def _bring(source: Path, target: Path) -> None:
    """Link a file, which costs no room, or copy it whole; what is sealed is never written to again."""
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
        sync_folder(target.parent)
    except OSError:
        with whole_file(target) as temporary:
            shutil.copyfile(source, temporary)


def _options_of(folder: Path) -> dict[str, Any] | None:
    """Those of the command that made a part; None where it did not leave them.

    Raises:
        CacheError: they are damaged.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        return None
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise CacheError(f"{path} is damaged, wanted a JSON object; restore it from a copy, or delete it")
    return options
