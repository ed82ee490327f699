"""A run under way: the passes of its schedule, the step of each batch, the best checkpoint."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn

from distill.accumulation import Portion, num_steps, portion
from distill.clock import Clock
from distill.compiling import able_to_compile
from distill.config import RunConfig
from distill.hardware import Hardware, enough_memory, peak_memory
from distill.losses.objective import Losses
from distill.material import Material
from distill.processes import ALONE, Processes
from distill.random_state import set_random_states
from distill.schedules import ALIGNER, SCHEDULES, STUDENT, Pass, student_only
from distill.sharding import whole
from distill.tower import Tower, learnt
from distill.tracking import MetricLog
from distill.view import Batch
from schemas.console import Advance
from schemas.errors import StudentError


@dataclass(slots=True)
class Best:
    """The checkpoint chosen so far.

    Attributes:
        epoch: from 1.
        value: of the metric that chooses.
        weights: of each tower, copied.
    """

    epoch: int = 0
    value: float = -math.inf
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)


@dataclass(slots=True)
class Place:
    """How far a run is.

    Attributes:
        passes: that are over.
        step: batches of the pass under way that are done.
        rows: that were trained on, in all passes.
        total_steps: batches, in all passes.
    """

    passes: int = 0
    step: int = 0
    rows: int = 0
    total_steps: int = 0


class AfterStep(Protocol):
    """What is done between two optimiser steps."""

    def __call__(self, *, ends_pass: bool) -> None:
        """Told whether a pass has just ended."""
        ...


def go_on(*, ends_pass: bool) -> None:
    """Do nothing between two steps."""
    del ends_pass


@dataclass(slots=True, kw_only=True)
class Training:
    """A run under way.

    Attributes:
        run: its configuration.
        hardware: that it computes on.
        accelerator: of the run.
        material: rows.
        towers: by name; an undistilled run has no aligner.
        clock: of the run.
        measure: metrics of the student on a stream, by which a checkpoint is chosen.
        best: checkpoint so far.
        num_epochs: that the student has trained.
        place: how far it is.
        processes: that train together; each has its slice of every batch.
        random_states: to draw from where a pass goes on in its midst; empty where another number of processes
            was there before.
        earlier_peaks: of memory, in the sessions before this one.
    """

    run: RunConfig
    hardware: Hardware
    accelerator: Accelerator
    material: Material
    towers: dict[str, Tower]
    clock: Clock
    measure: Callable[[Any, nn.Module], dict[str, float]]
    best: Best = field(default_factory=Best)
    num_epochs: int = 0
    place: Place = field(default_factory=Place)
    processes: Processes = ALONE
    random_states: dict[str, Tensor] = field(default_factory=dict)
    earlier_peaks: dict[str, int] = field(default_factory=dict)

    def train(self, log: MetricLog, advance: Advance, after_step: AfterStep = go_on) -> None:
        """Go through what is left of the schedule, or until the student has not got better for too long.

        Args:
            log: gets a line of losses for each batch, and one for each choice of a checkpoint.
            advance: of the progress.
            after_step: called between two optimiser steps.
        """
        for one in passes(self.run)[self.place.passes :]:
            if self.num_epochs - self.best.epoch >= (self.run.patience or math.inf):
                return
            self._go_through(one, log, advance, after_step)
            if STUDENT in one.trains:
                with self.clock.part("selection"):
                    self._select(one.epoch, log)
                self.num_epochs = one.epoch + 1
            self.place.passes, self.place.step = self.place.passes + 1, 0
            after_step(ends_pass=True)

    def _go_through(self, one: Pass, log: MetricLog, advance: Advance, after_step: AfterStep) -> None:
        first = self.place.step
        self._seed(one, first)
        for name, tower in self.towers.items():
            tower.module.train(name in one.trains)
        batches = self.material.train.batches(one.epoch, one.number, first)
        num_batches = self.material.train.order.num_batches(one.epoch, one.number)
        for step in range(first, num_batches):
            with self.clock.part("data"):
                batch = next(batches)
            with self.clock.part("+".join(one.trains)):
                part = portion(step, num_batches, self.run.accumulate)
                num_rows, num_tokens = batch.tokens["input_ids"].shape
                with enough_memory(num_rows, num_tokens), able_to_compile():
                    losses = self._step(batch, one.trains, part)
                values = _numbers(losses, self.processes)
            place = {"epoch": one.epoch + 1, "step": step + 1}
            log.write(place, values, self.place.total_steps + 1)
            self._check(values, batch, place)
            advance(len(batch.rows_B), f"{one.trains[-1]} loss {values[f'{one.trains[-1]}/total']:.3f}")
            self._moved(len(batch.rows_B))
            if part.ends and step + 1 < num_batches:
                after_step(ends_pass=False)

    def _seed(self, one: Pass, first: int) -> None:
        """Settle what a pass draws from, from batch `first` on: each process has its own."""
        if first and self.random_states:
            set_random_states(self.hardware.device, self.random_states)
            return
        # Where others were there before, it is drawn anew from here.
        torch.manual_seed(_seed_of(self.run.seed, one, *filter(None, (self.processes.rank, first))))

    def _moved(self, num_rows: int) -> None:
        self.place.step += 1
        self.place.total_steps += 1
        self.place.rows += num_rows

    def _step(self, batch: Batch, trains: tuple[str, ...], part: Portion) -> dict[str, Losses]:
        losses = {}
        aligner, student = self.towers.get(ALIGNER), self.towers[STUDENT]
        seen = None
        if aligner is not None:
            with aligner.adding(part):
                with self.hardware.autocast(), torch.set_grad_enabled(ALIGNER in trains):
                    seen = aligner.forward(batch.teacher_repr_BD)
                if ALIGNER in trains:
                    losses[ALIGNER] = aligner.objective(seen, None, batch.labels, means=batch.means)
                    aligner.step(self.accelerator, losses[ALIGNER].total, part, seen)
        if STUDENT in trains:
            with student.adding(part):
                with self.hardware.autocast():
                    view = student.forward(**batch.tokens)
                losses[STUDENT] = student.objective(
                    view, seen, batch.labels, batch.teacher_tokens, batch.means
                )
                student.step(self.accelerator, losses[STUDENT].total, part, view)
        return losses

    def _check(self, values: dict[str, float], batch: Batch, place: dict[str, int]) -> None:
        if wrong := [name for name, value in values.items() if not math.isfinite(value)]:
            ids = ", ".join(self.material.train.split.example_ids(batch.rows_B))
            raise StudentError(
                f"epoch {place['epoch']}, step {place['step']}: {wrong[0]} is {values[wrong[0]]}, "
                f"wanted a finite loss; lower --lr or --aligner-lr, or look at the examples {ids}"
            )

    def _select(self, epoch: int, log: MetricLog) -> None:
        stream, student = self.material.select, self.towers[STUDENT].module
        with self.hardware.autocast(), whole(student):
            value = self.measure(stream, student)[self._metric]
        log.write({"epoch": epoch + 1}, {f"selection/{self._metric}": value}, self.place.total_steps)
        if value > self.best.value:
            weights = {name: _copy(tower.module) for name, tower in self.towers.items()}
            self.best = Best(epoch + 1, value, weights)

    @property
    def _metric(self) -> str:
        return self.material.select.split.task.metric

    def peak_memory(self) -> dict[str, int]:
        """Bytes at the highest, in any session so far and any process; collective."""
        mine = peak_memory(self.hardware.device)
        now = dict(zip(mine, self.processes.highest(list(mine.values())), strict=True))
        both = {**self.earlier_peaks, **now}
        return {name: max(value, self.earlier_peaks.get(name, 0)) for name, value in both.items()}

    def restore(self) -> None:
        """Go back to the best checkpoint."""
        for name, weights in self.best.weights.items():
            self.towers[name].module.load_state_dict(weights, strict=False)


def _seed_of(seed: int, one: Pass, *more: int) -> int:
    """A seed for dropout that does not hang on what other passes drew."""
    return int(np.random.SeedSequence([seed, one.epoch, one.number, *more]).generate_state(1)[0])


def _numbers(losses: dict[str, Losses], processes: Processes) -> dict[str, float]:
    """Every total and part of the whole batch as a number, with one wait for the device; collective."""
    named = {
        f"{tower}/{name}": value
        for tower, one in losses.items()
        for name, value in {"total": one.total.detach(), **one.parts}.items()
    }
    values = torch.stack(list(named.values()))
    if processes.count > 1:
        # Each process's are such that their mean is the batch's: distill/means.py.
        distributed.all_reduce(values)
        values /= processes.count
    return dict(zip(named, values.tolist(), strict=True))


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in learnt(module).items()}


def passes(run: RunConfig) -> list[Pass]:
    """All passes of a run, in order."""
    schedule = SCHEDULES[run.distillation.schedule] if run.distillation else student_only
    return schedule(run.epochs)


def optimiser_steps(run: RunConfig, material: Material, tower: str) -> int:
    """Optimiser steps of a tower in a whole run."""
    order = material.train.order
    own = [one for one in passes(run) if tower in one.trains]
    return sum(num_steps(order.num_batches(one.epoch, one.number), run.accumulate) for one in own)
