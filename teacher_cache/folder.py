"""What stands in an output folder: nothing, a cache to go on with, or something that is not ours to touch."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from schemas.errors import CacheError, ManifestError, MismatchError
from schemas.manifest import MANIFEST_NAME, CacheManifest
from schemas.manifest_file import differences, read_manifest
from schemas.shard import open_shard
from teacher_cache.lock import LOCK_NAME
from teacher_cache.plan import ShardPlan

CONFIG_NAME, JOURNAL_NAME = "config.json", "journal"
# What a process that was killed before its first manifest may leave.
_FIRST_TRACES = {LOCK_NAME, JOURNAL_NAME, CONFIG_NAME, f".{CONFIG_NAME}.tmp", f".{MANIFEST_NAME}.tmp"}
_SHOWN_DIFFERENCES = 3
_OF_THE_EXAMPLES = ("request.prompts_digest", "request.source", "request.splits.")


def started_cache(folder: Path, resume: Literal["auto", "never", "must"]) -> CacheManifest | None:
    """The manifest of the cache to go on with; None where a new one may begin. Changes nothing.

    A cache without a single answer is none: a run that was refused at its first request, by a wrong name or a
    wrong option, must not stand in the way of the right one.

    Raises:
        CacheError: the folder holds something else, or `--resume` forbids what would have to be done.
        ManifestError: there is a manifest, and it is damaged or not ours.
    """
    if folder.exists() and not folder.is_dir():
        raise CacheError(f"--out {folder} is a file, a folder is wanted; give another")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if MANIFEST_NAME not in names and (foreign := sorted(names - _FIRST_TRACES)):
        raise CacheError(
            f"{folder} holds {foreign[0]} and no {MANIFEST_NAME}, so it is no teacher cache; "
            "nothing in it was touched; give an empty or a new folder with --out"
        )
    if resume == "never" and names:
        raise CacheError(f"{folder} is not empty and --resume is never; give a new folder, or --resume auto")
    if resume == "must" and MANIFEST_NAME not in names:
        raise CacheError(
            f"{folder} holds no started cache and --resume is must; give its folder, or --resume auto"
        )
    manifest = read_manifest(folder) if MANIFEST_NAME in names else None
    return None if manifest is None or _has_nothing(folder, manifest) else manifest


def _has_nothing(folder: Path, manifest: CacheManifest) -> bool:
    journals = (folder / JOURNAL_NAME).glob("*.journal")
    return manifest.rows > 0 and not manifest.files and not any(path.stat().st_size for path in journals)


def check_same(folder: Path, wanted: CacheManifest, found: CacheManifest) -> None:
    """Refuse to go on with a cache that was made by another teacher or from other examples.

    Raises:
        MismatchError: the first things that differ, each with both values.
    """
    different = [
        *differences(wanted.teacher.model_dump(), found.teacher.model_dump(), "teacher."),
        *differences(wanted.request.model_dump(), found.request.model_dump(), "request."),
        *differences({"part": _part(wanted)}, {"part": _part(found)}),
    ]
    if not different:
        return
    shown = "; ".join(
        f"{name} is {_short(old)} there, {_short(new)} now"
        for name, new, old in different[:_SHOWN_DIFFERENCES]
    )
    rest = len(different) - _SHOWN_DIFFERENCES
    more = f"; and {rest} more" if rest > 0 else ""
    if all(name.startswith(_OF_THE_EXAMPLES) for name, *_ in different):
        more += f"; --reuse {folder} copies the answers to questions that stayed the same"
    raise MismatchError(
        f"{folder} is another cache: {shown}{more}; run the same command as then, or give a new --out"
    )


def _part(manifest: CacheManifest) -> str:
    return "all" if manifest.part is None else str(manifest.part)


def check_files(folder: Path, manifest: CacheManifest, shards: Iterable[ShardPlan], *, verify: bool) -> None:
    """Refuse to go on with a cache whose sealed shards are not those that its manifest and the plan name.

    Raises:
        ManifestError: a file that the plan has not, or with other rows.
        ShardError: a file is missing, cut short or altered; with `verify` every byte is read.
    """
    planned = {shard.name: (shard.split, len(shard.examples)) for shard in shards}
    for file in manifest.files:
        wanted = planned.get(file.name)
        if wanted != (file.split, file.rows):
            plan = "no such shard" if wanted is None else f"{wanted[1]} rows of {wanted[0]}"
            raise ManifestError(
                f"{folder / MANIFEST_NAME} lists {file.name} with {file.rows} rows of {file.split}, "
                f"the plan has {plan}; restore it from a copy, or give a new --out"
            )
        open_shard(folder, file, manifest, verify=verify).close()


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:16]}..."
