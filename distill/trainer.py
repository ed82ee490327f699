"""One run of stage two: set up, train, measure, write."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distill.adapter import adapt, narrow, note_of
from distill.checkpoint import Checkpoints
from distill.clock import Clock
from distill.config import RunConfig, digest_of_run, options_of
from distill.curves import draw_curves
from distill.disciplines import DISCIPLINES, Discipline
from distill.export import STUDENT_FOLDER, export_aligner, export_student, write_card
from distill.hardware import Hardware, find_hardware, versions
from distill.keeping import Keeper
from distill.notes import notes_of
from distill.pooling import is_adapted
from distill.pretrained import load_tokenizer, pad_alike, padding_note
from distill.processes import ALONE, Processes
from distill.rates import rate_of
from distill.remaining import Remaining
from distill.schedules import ALIGNER, STUDENT
from distill.session import Session
from distill.sharding import joined_state, whole
from distill.tower import Tower, build_tower
from distill.tracking import build_accelerator, metric_log, start_trackers
from distill.training import Training, optimiser_steps, passes
from distill.weights import digest_of_student, name_of_student
from schemas.cache import TeacherCache
from schemas.console import progress, say
from schemas.errors import ConfigError
from schemas.manifest import CacheManifest
from schemas.result import CacheOrigin, RunResult, write_result
from schemas.tasks import find_task

METRICS_NAME = "metrics.jsonl"


def fit(
    run: RunConfig,
    cache: TeacherCache,
    folder: Path,
    *,
    quiet: bool = False,
    session: Session = Session(),  # noqa: B008 - frozen
    processes: Processes = ALONE,
) -> RunResult:
    """Train, choose, measure and write a run.

    Args:
        run: its configuration.
        cache: that it reads.
        folder: that it writes to; `run.json` last.
        quiet: show no progress.
        session: whether to go on from a checkpoint, and how often to write one.
        processes: that train together, each calling this; the main one writes.

    Raises:
        ArmadaError: the student, the cache, a checkpoint or a setting does not allow the run, or a loss is
            not finite.
    """
    student = digest_of_student(run.student)
    digest = digest_of_run(run, cache.manifest.digest, student)
    checkpoints = Checkpoints(folder, digest)
    keeper = Keeper(checkpoints, session, folder / METRICS_NAME, processes)
    clock = Clock()
    with clock.part("setup"):
        training, tokenizer = _set_up(run, cache, folder, clock, session=session, processes=processes)
        notes = (
            *training.material.notes,
            *_notes_of_student(training.towers[STUDENT].module, tokenizer),
            *_notes_of_processes(training.hardware),
        )
        for note in notes:
            say(note, quiet=quiet)
        keeper.resume(training, quiet=quiet)
    num_rows, done = training.material.num_rows["train"], training.place.rows
    total, left = len(passes(run)) * num_rows, Remaining(training, num_rows)
    with (
        metric_log(folder / METRICS_NAME, training.accelerator) as log,
        progress(f"distill {run.label}", total, "rows", done=done, quiet=quiet, left=left) as advance,
        keeper.listening(),
    ):
        training.train(log, advance, partial(keeper.after_step, training, log))
    training.restore()
    metrics = _report(training, folder, tokenizer)
    result = _result(
        training,
        cache,
        metrics,
        (digest, student),
        (*notes, *notes_of(run, training.num_epochs), *keeper.notes),
    )
    if processes.is_main:
        write_card(folder / STUDENT_FOLDER, result)
        draw_curves(folder, folder / METRICS_NAME)
        write_result(folder, result)
        checkpoints.remove()
    return result


def _set_up(
    run: RunConfig,
    cache: TeacherCache,
    folder: Path,
    clock: Clock,
    *,
    session: Session,
    processes: Processes,
) -> tuple[Training, Any]:
    sharded = session.sharding == "full"
    hardware = find_hardware(run.device, run.precision, processes, sharded=sharded)
    task = find_task(cache.manifest.request.task)
    tokenizer = load_tokenizer(run.student)
    torch.manual_seed(run.seed)
    discipline = DISCIPLINES[task.label_kind]
    backbone = _backbone(run, cache.manifest, discipline, tokenizer, session)
    with clock.part("tokens"):
        material = discipline.gather(
            run,
            cache,
            task,
            tokenizer,
            hardware.device,
            workers=session.loader_workers,
            processes=processes,
        )
    accelerator = build_accelerator(folder, session.trackers, cpu=hardware.device.type == "cpu")
    start_trackers(accelerator, f"{run.label}-s{run.seed}", folder, _shown(run))
    learners = discipline.learners(run, task, backbone, cache.manifest.teacher.repr_dim)
    if ALIGNER in learners:
        learners[ALIGNER][0].requires_grad_(any(ALIGNER in one.trains for one in passes(run)))
    if hardware.bf16 and run.lora is not None and not sharded:
        # FSDP wants one dtype for all that it cuts.
        narrow(learners[STUDENT][0])
    towers = {
        name: build_tower(
            accelerator,
            *learner,
            run.weight_decay,
            rate=rate_of(run.lr_schedule, run.warmup, optimiser_steps(run, material, name)),
            compiled=bool(run.compile) and name == STUDENT,
            processes=processes,
            # An aligner is small.
            sharded=sharded and name == STUDENT,
        )
        for name, learner in learners.items()
    }
    return Training(
        run=run,
        hardware=hardware,
        accelerator=accelerator,
        material=material,
        towers=towers,
        clock=clock,
        measure=partial(discipline.measure, run, tokenizer),
        processes=processes,
    ), tokenizer


def _shown(run: RunConfig) -> dict[str, Any]:
    """The options of a run, of the student's folder its name."""
    return {**options_of(run), "student": name_of_student(run.student)}


def _backbone(
    run: RunConfig, manifest: CacheManifest, discipline: Discipline, tokenizer: Any, session: Session
) -> Any:
    """The student as it begins: plain, or in an adapter."""
    backbone, fresh = discipline.load(run, manifest)
    pad_alike(backbone, tokenizer)
    positions = getattr(backbone.config, "max_position_embeddings", None)
    room = run.max_new_tokens or 0
    if positions is not None and run.max_length + room > positions:
        if room >= positions:
            raise ConfigError(
                f"--max-new-tokens {room}: wanted fewer than the student's {positions} positions, "
                "which hold the prompt too"
            )
        beside = f" less --max-new-tokens {room}" if room else ""
        raise ConfigError(
            f"--max-length {run.max_length}: wanted at most {positions - room}, "
            f"the student's positions{beside}"
        )
    if session.gradient_checkpointing:
        if not backbone.supports_gradient_checkpointing:
            kind = backbone.config.model_type
            raise ConfigError(f"--gradient-checkpointing: students of type {kind} cannot; leave it out")
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    return backbone if run.lora is None else adapt(backbone, run.lora, fresh)


def _notes_of_student(student: Any, tokenizer: Any) -> Iterator[str]:
    if padding := padding_note(tokenizer):
        yield padding
    if is_adapted(student.backbone):
        yield note_of(student.backbone)


def _notes_of_processes(hardware: Hardware) -> Iterator[str]:
    if hardware.count > 1:
        yield (
            f"trained in {hardware.count} processes: order, batches and losses are those of one, "
            "what dropout draws is each process's own"
        )


def _report(training: Training, folder: Path, tokenizer: Any) -> dict[str, dict[str, float]]:
    """Measure in full precision, as the exported student will answer, and export."""
    run, material = training.run, training.material
    modules = {name: tower.module for name, tower in training.towers.items()}
    task = material.report.split.task
    if run.lora is not None and not training.hardware.sharded:
        # As others load the base that the adapter stands on.
        modules[STUDENT].float()
    with training.clock.part("report"), whole(modules[STUDENT]):
        metrics = DISCIPLINES[task.label_kind].report(run, tokenizer, material, modules, folder)
    with training.clock.part("export"):
        backbone: Any = modules[STUDENT].backbone
        writes = training.processes.is_main
        weights = joined_state(backbone, keep=writes)
        if writes:
            export_student(folder / STUDENT_FOLDER, backbone, tokenizer, run.student, weights)
        if writes and ALIGNER in modules:
            export_aligner(folder, modules[ALIGNER])
    return metrics


def _result(
    training: Training,
    cache: TeacherCache,
    metrics: dict[str, dict[str, float]],
    digests: tuple[str, str],
    notes: tuple[str, ...],
) -> RunResult:
    run, manifest = training.run, cache.manifest
    best = training.best
    return RunResult(
        config=_shown(run),
        config_hash=digests[0],
        student_digest=digests[1],
        cache=CacheOrigin(
            name=cache.folder.resolve().name,
            digest=manifest.digest,
            teacher=manifest.teacher,
            rows=manifest.rows,
        ),
        protocol=run.protocol,
        metrics=metrics,
        selection={
            "epoch": best.epoch,
            "metric": training.material.select.split.task.metric,
            "value": best.value,
        },
        num_rows=training.material.num_rows,
        num_parameters=_num_parameters(training.towers),
        seconds={name: round(value, 3) for name, value in training.clock.total().items()},
        peak_memory_bytes=training.peak_memory(),
        versions=versions(),
        device=str(training.hardware),
        notes=notes,
    )


def _num_parameters(towers: dict[str, Tower]) -> dict[str, int]:
    numbers = {}
    for name, tower in towers.items():
        sizes = [(part.numel(), part.requires_grad) for part in tower.module.parameters()]
        numbers[name] = sum(size for size, _ in sizes)
        numbers[f"{name}_trainable"] = sum(size for size, trains in sizes if trains)
    return numbers
