"""Stage one from end to end: skip what is done, ask, journal, seal."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schemas.console import progress, say
from schemas.errors import CacheError, ConfigError
from schemas.files import write_text
from schemas.manifest import CacheManifest, Plain, Request, write_manifest
from teacher_cache.clock import Clock
from teacher_cache.config import CacheConfig
from teacher_cache.folder import CONFIG_NAME, JOURNAL_NAME, check_files, check_same, started_cache
from teacher_cache.limits import ErrorBudget
from teacher_cache.lock import writer_lock
from teacher_cache.loop import Loop
from teacher_cache.plan import Plan, ShardPlan, make_plan
from teacher_cache.projection import project
from teacher_cache.reuse import check_reusable, copy_answers
from teacher_cache.statistics import has_statistics
from teacher_cache.teachers import Backend, Teacher, TeacherSettings, find_backend
from teacher_cache.writer import CacheWriter


def cache_teacher(config: CacheConfig) -> dict[str, Any]:
    """Fill a teacher cache, or go on with one, until every row is sealed.

    Returns:
        What the cache holds and what this session did, as `--json` prints it.

    Raises:
        ArmadaError: as the tree in `schemas.errors` says; what was answered before is on disk.
    """
    backend, name, model = find_backend(config.model)
    plan = make_plan(config)
    store = _store(config, backend, name)
    teacher = backend.make(TeacherSettings(name=model, store=store, num_workers=config.num_workers))
    wanted = CacheManifest(teacher=teacher.identity, request=_request(config, plan, store))
    if config.reuse is not None:
        check_reusable(config.reuse, wanted)
    if config.dry_run:
        return asyncio.run(project(teacher, wanted, plan, config.num_workers, asks=bool(backend.signals)))
    folder = config.folder(plan.task.name)
    shards = plan.shards(config.rows_per_shard)
    found = started_cache(folder, config.resume)
    if found is not None and _is_done(config, folder, wanted, found, shards):
        return _summary(folder, found)
    folder.mkdir(parents=True, exist_ok=True)
    with writer_lock(folder) as note_rows_before:
        # Another process may have written between the first look and the lock.
        manifest = started_cache(folder, "auto") or wanted
        check_same(folder, wanted, manifest)
        # Rows that are sealed are not asked again, so they must be there.
        check_files(folder, manifest, shards, verify=True)
        write_text(folder / CONFIG_NAME, _resolved(config, folder, plan, store))
        write_manifest(folder, manifest)
        clock = Clock(manifest.timings)
        writer = CacheWriter(folder, manifest, shards, clock)
        missing, num_reused = _prepare(config, backend, writer)
        note_rows_before(len(plan.examples) - _count(missing))
        batch_size = config.batch_size or backend.default_batch_size
        num_asked = asyncio.run(_ask(config, teacher, writer, batch_size, missing))
        if not writer.manifest.complete:
            raise CacheError(
                f"{folder} holds {writer.manifest.sealed_rows} of {wanted.rows} rows at the end; "
                "run the same command again, it goes on"
            )
        return _summary(folder, writer.manifest, num_asked=num_asked, num_reused=num_reused, clock=clock)


def _store(config: CacheConfig, backend: Backend, name: str) -> tuple[str, ...]:
    store = backend.default_signals if config.store is None else config.store
    if wrong := [signal for signal in store if signal not in backend.signals]:
        known = ", ".join(backend.signals) or "nothing"
        raise ConfigError(f"--store {','.join(store)}: the backend {name} gives {known}, not {wrong[0]}")
    return tuple(store)


def _request(config: CacheConfig, plan: Plan, store: tuple[str, ...]) -> Request:
    parameters: dict[str, Plain] = {} if config.template is None else {"template": config.template}
    return Request(
        task=plan.task.name,
        source=plan.source,
        splits=plan.splits,
        prompts_digest=plan.prompts_digest(),
        teach=config.teach,
        store=store,
        rows_per_shard=config.rows_per_shard,
        parameters=parameters,
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
    config: CacheConfig, teacher: Teacher, writer: CacheWriter, batch_size: int, missing: Missing
) -> int:
    """Ask what is missing and seal; the teacher's models are loaded only if there is something to ask."""
    total, left = writer.manifest.rows, _count(missing)
    say(f"{writer.folder}: {total} rows, {left} to ask", quiet=config.quiet)
    with progress(f"asking {config.model}", total, "rows", done=total - left, quiet=config.quiet) as advance:
        loop = Loop(
            teacher=teacher,
            writer=writer,
            clock=writer.clock,
            budget=ErrorBudget(config.max_consecutive_errors),
            advance=advance,
            batch_size=batch_size,
            concurrency=2 * config.num_workers,
        )
        try:
            if not left:
                await loop.run(missing)
                return 0
            async with writer.clock.entered(teacher):
                await loop.run(missing)
        finally:
            writer.clock.save(writer.folder / JOURNAL_NAME, loop.num_asked)
    return loop.num_asked


def _summary(
    folder: Path,
    manifest: CacheManifest,
    *,
    num_asked: int = 0,
    num_reused: int = 0,
    clock: Clock | None = None,
) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "task": manifest.request.task,
        "teacher": f"{manifest.teacher.backend}:{manifest.teacher.name}",
        "complete": manifest.complete,
        "rows": manifest.rows,
        "splits": manifest.request.splits,
        "taught": sum(file.taught for file in manifest.files),
        "errors": sum(file.errors for file in manifest.files),
        "asked": num_asked,
        "reused": num_reused,
        "shards": len(manifest.files),
        "bytes": sum(file.bytes for file in manifest.files),
        "digest": manifest.digest,
        **(clock.session if clock else {"seconds": 0.0, "teacher_seconds": 0.0}),
    }
