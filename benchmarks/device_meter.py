"""Seconds and memory of some optimiser steps of a training on a device, whatever trains."""

import gc
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from distill.hardware import peak_memory


@dataclass(slots=True)
class Meter:
    """Told after each optimiser step by torch's own hook; waits for the device where it reads the clock.

    Attributes:
        device: that computes.
        first: steps that are not counted; the clock starts after them.
        last: step after which the clock is read.
        steps: done so far.
        began: on the clock.
        seconds: of the steps between; not a number before the last.
        peak_bytes: highest memory in them: on CUDA what torch holds there, else of the whole process so far.
    """

    device: torch.device
    first: int
    last: int
    steps: int = 0
    began: float = 0.0
    seconds: float = math.nan
    peak_bytes: int = 0

    def after_step(self, *_: Any) -> None:
        """Count a step."""
        self.steps += 1
        if self.steps == self.first:
            forget_peak(self.device)
            self.began = now(self.device)
        if self.steps == self.last:
            self.seconds = now(self.device) - self.began
            self.peak_bytes = peak(self.device)


@contextmanager
def metered(device: torch.device, first: int, last: int) -> Generator[Meter]:
    """Measure the steps after the first so many, up to the last, of what is trained inside."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    meter = Meter(device, first, last)
    hook = register_optimizer_step_post_hook(meter.after_step)
    try:
        yield meter
    finally:
        hook.remove()


def now(device: torch.device) -> float:
    """Seconds on a clock, once the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def rate_of(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """How many times a second a piece of work is done, one after the other; three go before the clock."""
    for _ in range(3):
        work()
    began = now(device)
    for _ in range(repeats):
        work()
    return repeats / (now(device) - began)


def forget_peak(device: torch.device) -> None:
    """Count a CUDA device's highest memory from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int:
    """Bytes at the highest: of the device, where it has memory of its own."""
    peaks = peak_memory(device)
    return peaks.get("device", peaks["process"])
