"""What a cache holds, how far a running one is, and whether its bytes are what they were."""

from pathlib import Path
from typing import Any

from schemas.errors import CacheError
from schemas.manifest import STATS_NAME, CacheManifest
from schemas.manifest_file import read_manifest
from schemas.rows import Row, decode
from schemas.shard import arrow_schema, open_shard
from teacher_cache.folder import JOURNAL_NAME
from teacher_cache.journal import Journal
from teacher_cache.lock import Holder, holder_of
from teacher_cache.statistics import has_statistics


def inspect(folder: Path, num_rows: int) -> dict[str, Any]:
    """The manifest in short, and the first rows.

    Raises:
        CacheError: the manifest or the first shard is refused.
    """
    manifest = read_manifest(folder)
    files = manifest.files
    return {
        "folder": str(folder),
        "part": manifest.part and str(manifest.part),
        "complete": manifest.complete,
        "rows": manifest.rows,
        "sealed_rows": manifest.sealed_rows,
        "taught": sum(file.taught for file in files),
        "errors": sum(file.errors for file in files),
        "shards": len(files),
        "bytes": sum(file.bytes for file in files),
        "teacher": manifest.teacher.model_dump(mode="json"),
        "request": manifest.request.model_dump(mode="json"),
        "timings": manifest.timings,
        "digest": manifest.digest,
        "first_rows": [_plain(row) for row in first_rows(folder, manifest, num_rows)],
    }


def first_rows(folder: Path, manifest: CacheManifest, num_rows: int) -> list[Row]:
    """The first sealed rows, those of the training split before others.

    Raises:
        CacheError: a shard is refused.
    """
    rows: list[Row] = []
    for file in manifest.files:
        if len(rows) >= num_rows:
            break
        with open_shard(folder, file, manifest, verify=False) as shard:
            for batch in shard.iter_batches(num_rows - len(rows)):
                rows.extend(decode(batch))
                if len(rows) >= num_rows:
                    break
    return rows[:num_rows]


def _plain(row: Row) -> dict[str, Any]:
    answer, label = row.answer, row.example.label
    return {
        "example_id": row.example.id,
        "split": row.example.split,
        "prompt": row.prompt,
        "label": next(
            (one for one in (label.target_text, label.value) if one is not None), list(label.class_ids)
        ),
        "teacher_text": None if answer is None or answer.texts is None else list(answer.texts),
        "teacher_repr": None if answer is None or answer.repr is None else f"{answer.repr.shape[0]} values",
        "error": None if answer is None else answer.error,
    }


def status(folder: Path) -> dict[str, Any]:
    """How far a cache is; safe beside a process that writes to it.

    Raises:
        ManifestError: there is no cache.
    """
    manifest = read_manifest(folder)
    journalled, failed = _journalled(folder, manifest)
    answered = manifest.sealed_rows + journalled
    holder = holder_of(folder)
    rate = _rate(holder, answered)
    return {
        "folder": str(folder),
        "part": manifest.part and str(manifest.part),
        "complete": manifest.complete,
        "rows": manifest.rows,
        "sealed_rows": manifest.sealed_rows,
        "journalled_rows": journalled,
        "errors": sum(file.errors for file in manifest.files) + failed,
        "writer": None
        if holder is None
        else {"pid": holder.pid, "host": holder.host, "since": holder.started},
        "rows_per_second": None if rate is None else round(rate, 2),
        "seconds_left": None if not rate else round((manifest.rows - answered) / rate),
    }


def _journalled(folder: Path, manifest: CacheManifest) -> tuple[int, int]:
    """Rows, and failed rows, that are in a journal and in no sealed shard."""
    sealed = {Path(file.name).stem for file in manifest.files}
    failed: dict[str, bool] = {}
    for path in (folder / JOURNAL_NAME).glob("*.journal"):
        if path.stem in sealed:
            continue
        for _, batch in Journal(path, arrow_schema(manifest), manifest.fingerprint).frames():
            errors = batch.column("error").is_valid().to_pylist()
            failed.update(zip(batch.column("example_id").to_pylist(), errors, strict=True))
    return len(failed), sum(failed.values())


def _rate(holder: Holder | None, answered: int) -> float | None:
    seconds = holder and holder.seconds()
    return None if holder is None or seconds is None else (answered - holder.rows_before) / max(seconds, 1.0)


def faults(folder: Path) -> list[str]:
    """Everything that is wrong with a cache's bytes, one line each; none means that every checksum holds.

    Raises:
        ManifestError: there is no manifest to compare with.
    """
    manifest = read_manifest(folder)
    found: list[str] = []
    for file in manifest.files:
        try:
            open_shard(folder, file, manifest).close()
        except CacheError as error:
            found.append(str(error))
    if not manifest.complete:
        held = f"{manifest.sealed_rows} of {manifest.rows} rows are sealed"
        found.append(f"{folder} is incomplete: {held}; run the same cache-teacher command again, it goes on")
    elif not has_statistics(folder, manifest):
        again = "run the cache-teacher command again, it makes it anew"
        found.append(f"{folder / STATS_NAME} is missing or altered; {again}")
    return found
