"""The operations of a student's training steps, as torch's profiler sees them."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import ROOT
from distill.classifying import learners
from distill.config import resolve
from distill.disciplines import DISCIPLINES
from distill.schedules import STUDENT
from distill.trainer import fit
from schemas.cache import open_cache
from schemas.tasks import find_task

WARM, STEPS = 5, 30
PRODUCTS, ADAMW, NORM = "products of matrices", "AdamW", "clipping: the norm of the gradient"
OTHER, BETWEEN = "views, autograd, dispatch", "Python between operations"
# The first that fits has an operation.
OPERATIONS: Mapping[str, Sequence[str]] = {
    PRODUCTS: ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    ADAMW: ("aten::_fused_adamw_",),
    NORM: ("aten::linalg_vector_norm", "aten::_foreach_norm"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "layer norm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "softmax": ("aten::_softmax", "aten::_softmax_backward_data"),
    "dropout: random bits": ("aten::random_",),
    "casts and copies": ("aten::copy_",),
    "memory set to zero": ("aten::fill_", "aten::zero_"),
    "sums: biases": ("aten::sum",),
    "QR of the projections": ("aten::linalg_qr",),
    "element by element": (
        *("aten::mul", "aten::mul_", "aten::add", "aten::add_", "aten::sub_", "aten::div", "aten::tanh"),
        *("aten::__rshift__", "aten::bitwise_right_shift", "aten::masked_fill_", "aten::tanh_backward"),
    ),
    "embeddings": ("aten::index_select", "aten::embedding_dense_backward"),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What some steps of a student took.

    Attributes:
        seconds: of all steps, the profiler's own work included.
        parts: seconds of each kind of operation, and of what is between them.
        operations: floating-point operations of the products.
        parameters: of the student, that learn.
        rows: trained on.
        dtype: of the products.
    """

    seconds: float
    parts: dict[str, float]
    operations: float
    parameters: int
    rows: int
    dtype: torch.dtype


class _Enough(Exception):  # noqa: N818 - not an error
    """As many steps as wanted were seen."""


class _Window:
    """Starts the profiler at a student's step, and ends the run some steps later."""

    def __init__(self) -> None:
        self.profiler = profile(activities=[ProfilerActivity.CPU], with_flops=True)
        self.seconds, self.parameters, self.rows, self._steps = 0.0, 0, 0, 0
        self.dtype = torch.float32

    def __call__(self, module: nn.Module, _: Any, tokens: dict[str, Any]) -> None:
        if not module.training:
            return
        if self._steps == WARM:
            self.parameters = sum(one.numel() for one in module.parameters() if one.requires_grad)
            if torch.is_autocast_enabled("cpu"):
                self.dtype = torch.get_autocast_dtype("cpu")
            self.profiler.start()
            self.seconds = time.perf_counter()
        if self._steps == WARM + STEPS:
            self.seconds = time.perf_counter() - self.seconds
            self.profiler.stop()
            raise _Enough
        if self._steps >= WARM:
            self.rows += len(tokens["input_ids"])
        self._steps += 1


def profiled(shards: Path, method: str, student: Path = ROOT / "data/models/minilm") -> Profile:
    """Train a student on a cache for some steps, on the CPU.

    Args:
        shards: folder of the cache, of a task with classes.
        method: `undistilled` or `armada`.
        student: folder of the model.
    """
    window, cache = _Window(), open_cache(shards)
    kind = find_task(cache.manifest.request.task).label_kind
    row = DISCIPLINES[kind]

    def watched(*how: Any) -> Any:
        made = learners(*how)
        made[STUDENT][0].register_forward_pre_hook(window, with_kwargs=True)
        return made

    given = {"student": str(student), "method": method, "epochs": WARM + STEPS + 1, "device": "cpu"}
    run = resolve({"task": cache.manifest.request.task, **given}, cache.manifest.teacher.modality)
    DISCIPLINES[kind] = replace(row, learners=watched)
    try:
        with tempfile.TemporaryDirectory() as folder:
            fit(run, cache, Path(folder), quiet=True)
    except _Enough:
        pass
    finally:
        DISCIPLINES[kind] = row
    return _profile_of(window)


def _profile_of(window: _Window) -> Profile:
    averages = window.profiler.key_averages()
    parts = dict.fromkeys([*OPERATIONS, OTHER], 0.0)
    operations = 0.0
    for one in averages:
        part = next((name for name, keys in OPERATIONS.items() if one.key in keys), OTHER)
        parts[part] += one.self_cpu_time_total / 1e6
        if part == PRODUCTS:
            operations += one.flops
    parts[BETWEEN] = window.seconds - sum(parts.values())
    return Profile(window.seconds, parts, operations, window.parameters, window.rows, window.dtype)
