"""Stage one from end to end: skip what is done, ask, journal, seal."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from schemas.console import progress, say
from schemas.errors import CacheError, ManifestError
from schemas.files import write_text
from schemas.manifest import MANIFEST_NAME, CacheManifest
from schemas.manifest_file import write_manifest
from schemas.shard import open_shard
from teacher_cache.clock import Clock
from teacher_cache.config import CacheConfig
from teacher_cache.engines import on_engine
from teacher_cache.folder import CONFIG_NAME, check_files, check_same, started_cache
from teacher_cache.limits import ErrorBudget
from teacher_cache.lock import writer_lock
from teacher_cache.loop import Loop
from teacher_cache.parts import take_part
from teacher_cache.plan import Plan, ShardPlan, make_plan
from teacher_cache.projection import project, remaining
from teacher_cache.reuse import check_reusable, copy_answers
from teacher_cache.settings import (
    concurrency_of,
    default_template,
    make_request,
    make_settings,
    resolved_store,
)
from teacher_cache.spending import make_spending
from teacher_cache.statistics import has_statistics
from teacher_cache.teachers import Backend, Teacher, find_backend
from teacher_cache.upload import Upload
from teacher_cache.writer import CacheWriter


def cache_teacher(config: CacheConfig) -> dict[str, Any]:
    """Fill a teacher cache, or go on with one, until every row is sealed.

    Returns:
        What the cache holds and what this session did, as `--json` prints it.

    Raises:
        ArmadaError: as the tree in `schemas.errors` says; what was answered before is on disk.
    """
    backend, name, model = find_backend(config.model)
    store = resolved_store(config, backend, name)
    plan = make_plan(config, default_template(backend, store))
    for notice in plan.notices:
        say(notice, quiet=config.quiet)
    settings = make_settings(config, plan, backend, name=name, model=model, store=store)
    teacher = backend.make(settings)
    request = make_request(config, plan, settings, backend)
    shards = plan.shards(config.rows_per_shard)
    part = None
    if config.part is not None:
        part, shards = take_part(config.part, shards)
        plan = replace(plan, examples=[example for shard in shards for example in shard.examples])
    wanted = CacheManifest(teacher=teacher.identity, request=request, part=part)
    spending = make_spending(config, settings, teacher.identity)
    teacher = on_engine(config, teacher, backend, name, settings)
    if config.reuse is not None:
        check_reusable(config.reuse, wanted)
    folder = config.folder(plan.task.name)
    if config.dry_run:
        found, left = remaining(folder, wanted, shards)
        asking = partial(
            project,
            teacher=teacher,
            manifest=wanted,
            plan=plan,
            left=left,
            config=config,
            backend=backend,
            spending=spending,
        )
        return asyncio.run(asking()) if left else _summary(config, folder, found)
    upload = None if config.upload_to is None else Upload(config.upload_to, folder)
    if upload is not None:
        upload.begin()
        say(f"{config.upload_to}: made in {folder}", quiet=config.quiet)
    found = started_cache(folder, config.resume)
    if found is not None and _is_done(config, folder, wanted, found, shards):
        if upload is not None:
            upload.publish(found)
        return _summary(config, folder, found)
    folder.mkdir(parents=True, exist_ok=True)
    with writer_lock(folder) as note_rows_before:
        # Another process may have written between the first look and the lock.
        manifest = started_cache(folder, "auto") or wanted
        check_same(folder, wanted, manifest)
        # Rows that are sealed are not asked again, so they must be there.
        check_files(folder, manifest, shards, verify=True)
        write_text(folder / CONFIG_NAME, _resolved(config, folder, plan, store))
        write_manifest(folder, manifest)
        if upload is not None:
            # A store that refuses does so before anything is asked and paid for.
            upload.publish(manifest)
        clock = Clock(manifest.timings)
        publish = None if upload is None else upload.publish
        writer = CacheWriter(folder, manifest, shards, clock, spending, publish=publish)
        missing, num_reused = _prepare(config, backend, writer)
        note_rows_before(len(plan.examples) - _count(missing))
        num_asked = asyncio.run(_ask(config, backend, teacher, writer, missing))
        if not writer.manifest.complete:
            raise CacheError(
                f"{folder} holds {writer.manifest.sealed_rows} of {wanted.rows} rows at the end; "
                "run the same command again, it goes on"
            )
        return _summary(
            config, folder, writer.manifest, num_asked=num_asked, num_reused=num_reused, clock=clock
        )


def _is_done(
    config: CacheConfig, folder: Path, wanted: CacheManifest, found: CacheManifest, shards: list[ShardPlan]
) -> bool:
    check_same(folder, wanted, found)
    if not found.complete or not has_statistics(folder, found):
        return False
    if config.retry_errors and any(file.errors for file in found.files):
        return False
    check_files(folder, found, shards, verify=False)
    return True


def _resolved(config: CacheConfig, folder: Path, plan: Plan, store: tuple[str, ...]) -> str:
    resolved = asdict(config) | {"out": folder, "task": plan.task.name, "store": store}
    return json.dumps(resolved, indent=1, default=str, ensure_ascii=False) + "\n"


Missing = list[tuple[ShardPlan, list[int]]]


def _prepare(config: CacheConfig, backend: Backend, writer: CacheWriter) -> tuple[Missing, int]:
    """Seal what is not asked, copy what another cache has; what is left, and the number of rows copied."""
    if config.retry_errors:
        writer.reopen_failed()
    for shard in writer.unsealed:
        if not backend.signals or (config.teach == "train" and shard.split != "train"):
            writer.seal_unasked(shard)
    num_reused = 0
    if config.reuse is not None:
        num_reused = copy_answers(config.reuse, writer, _missing(writer, retry_errors=config.retry_errors))
        say(f"{num_reused} rows copied from {config.reuse}", quiet=config.quiet)
    return _missing(writer, retry_errors=config.retry_errors), num_reused


def _missing(writer: CacheWriter, *, retry_errors: bool) -> Missing:
    return [(shard, writer.missing(shard, retry_errors=retry_errors)) for shard in writer.unsealed]


def _count(missing: Missing) -> int:
    return sum(len(positions) for _, positions in missing)


async def _ask(
    config: CacheConfig, backend: Backend, teacher: Teacher, writer: CacheWriter, missing: Missing
) -> int:
    """Ask what is missing and seal; the teacher's models are loaded only if there is something to ask."""
    total, left = writer.manifest.rows, _count(missing)
    writer.spending.resume(writer.num_taught(config.teach), left, *writer.charged())
    say(f"{writer.folder}: {total} rows, {left} to ask", quiet=config.quiet)
    quiet = config.quiet or not left
    with progress(f"asking {config.model}", total, "rows", done=total - left, quiet=quiet) as advance:
        loop = Loop(
            teacher=teacher,
            writer=writer,
            clock=writer.clock,
            budget=ErrorBudget(config.max_consecutive_errors),
            spending=writer.spending,
            advance=advance,
            batch_size=config.batch_size or backend.default_batch_size,
            concurrency=concurrency_of(config, backend),
            sorts_by_length=backend.sorts_by_length,
        )
        try:
            async with AsyncExitStack() as stack:
                if left:
                    await stack.enter_async_context(writer.clock.entered(teacher))
                await loop.run(missing)
        except BaseException:
            # What stopped the run is to be told, not that its seconds could not be written either.
            with suppress(OSError):
                writer.note_session(loop.num_asked)
            raise
        writer.note_session(loop.num_asked)
    return loop.num_asked


def _first_error(folder: Path, manifest: CacheManifest) -> str | None:
    failed = next((file for file in manifest.files if file.errors), None)
    if failed is None:
        return None
    with open_shard(folder, failed, manifest, verify=False) as shard:
        errors = shard.read(columns=["error"]).column("error").drop_null()
    if not len(errors):
        raise ManifestError(
            f"{folder / MANIFEST_NAME} was altered: it has {failed.errors} failed rows in {failed.name}, the "
            "file has none; restore it from a copy"
        )
    return errors[0].as_py()


def _summary(
    config: CacheConfig,
    folder: Path,
    manifest: CacheManifest,
    *,
    num_asked: int = 0,
    num_reused: int = 0,
    clock: Clock | None = None,
) -> dict[str, Any]:
    return {
        "folder": config.upload_to or str(folder),
        "task": manifest.request.task,
        "teacher": f"{manifest.teacher.backend}:{manifest.teacher.name}",
        "complete": manifest.complete,
        "rows": manifest.rows,
        "splits": manifest.request.splits,
        "taught": sum(file.taught for file in manifest.files),
        "errors": sum(file.errors for file in manifest.files),
        "first_error": _first_error(folder, manifest),
        "asked": num_asked,
        "reused": num_reused,
        "shards": len(manifest.files),
        "bytes": sum(file.bytes for file in manifest.files),
        "digest": manifest.digest,
        "spent": manifest.spent.model_dump() if manifest.spent else None,
        **(clock.session if clock else {"seconds": 0.0, "teacher_seconds": 0.0}),
    }
