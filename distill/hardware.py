"""What a run stands on: device, precision, threads, and what of that a result must name."""

import os
import platform
import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from distill.processes import ALONE, Processes
from schemas.errors import ConfigError, StudentError

_NAMED_PACKAGES = ("armada-distill", "torch", "transformers", "accelerate", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where a run computes.

    Attributes:
        device: of both towers.
        bf16: whether training passes run in bfloat16.
        threads: of torch on the CPU.
        count: of processes, each on a device of its own, or on the CPU.
        sharded: the student lies in parts, one a process.
    """

    device: torch.device
    bf16: bool
    threads: int
    count: int = 1
    sharded: bool = False

    def autocast(self) -> torch.autocast:
        """The precision of training passes, as a context."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def __str__(self) -> str:
        name = (
            torch.cuda.get_device_name(self.device)
            if self.device.type == "cuda"
            else f"{self.threads} threads"
        )
        many = f"{self.count} processes, each on " if self.count > 1 else ""
        sharded = ", sharded" if self.sharded else ""
        return f"{many}{self.device.type} ({name}), {'bf16' if self.bf16 else 'fp32'}{sharded}"


def find_hardware(
    device: str, precision: str, processes: Processes = ALONE, *, sharded: bool = False
) -> Hardware:
    """Settle `auto`, and give torch as many threads as there are cores a process (or OMP_NUM_THREADS).

    Args:
        device: `auto`, `cpu`, `cuda`; of several CUDA devices each process takes its own.
        precision: `auto`, `fp32`, `bf16`.
        processes: of the run.
        sharded: whether they share the student's weights.

    Raises:
        ConfigError: CUDA was asked for and there is none, or not one for each process.
    """
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise ConfigError("--device cuda: no CUDA device here; wanted cpu or auto, or a machine with one")
    chosen = _own_device(device, processes) if cuda and device != "cpu" else torch.device("cpu")
    threads = int(
        os.environ.get("OMP_NUM_THREADS") or max(1, len(os.sched_getaffinity(0)) // processes.local_count)
    )
    torch.set_num_threads(threads)
    if processes.grouped:
        # Else accelerate settles it anew, and warns.
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    bf16 = precision == "bf16" or (precision == "auto" and _has_native_bf16(chosen))
    return Hardware(chosen, bf16, threads, processes.count, sharded)


def _own_device(device: str, processes: Processes) -> torch.device:
    if not processes.grouped:
        return torch.device("cuda")
    if processes.local_count > (found := torch.cuda.device_count()):
        raise ConfigError(
            f"--device {device}: {processes.local_count} processes on this machine and {found} CUDA devices; "
            f"wanted torchrun --nproc-per-node {found} at most, or --device cpu"
        )
    own = torch.device("cuda", processes.local_rank)
    torch.cuda.set_device(own)
    return own


_WHILE = {
    "training": "go on with --gradient-checkpointing, or begin anew with a smaller --batch-size (and "
    "--accumulate), a smaller --max-length, --precision bf16 or --lora-rank",
    "measuring": "begin anew with a smaller --max-length or --student, or measure on a larger device",
    "writing": "begin anew with a smaller --max-new-tokens, --max-length or --student",
}


@contextmanager
def enough_memory(num_rows: int, num_tokens: int, doing: str = "training") -> Generator[None]:
    """Make one line of a device that has no memory left.

    Args:
        num_rows: of the batch.
        num_tokens: that it is wide.
        doing: `training`, `measuring` or `writing`.

    Raises:
        StudentError: there is none left.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise StudentError(
            f"out of memory while {doing}, on a batch of {num_rows} rows, {num_tokens} tokens wide; "
            f"{_WHILE[doing]}"
        ) from None


@contextmanager
def room_for_weights(device: torch.device) -> Generator[None]:
    """Make one line of a device that cannot hold what is put there.

    Args:
        device: of a tower.

    Raises:
        StudentError: it cannot.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise StudentError(
            f"out of memory while weights were put on {device}: see that no other program is there, or give "
            "a smaller --student, a larger device, or --sharding full with several"
        ) from None


# What a CPU's allocator says, CUDA where it is not torch's own allocator that asks, and the libraries on it.
_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device has no memory left, whoever says so."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY)


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes at the highest: resident in the process and, on CUDA, allocated on the device."""
    peaks = {"process": _peak_resident()}
    if device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(device)
    return peaks


def _peak_resident() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # The portable figure below starts at that of the process which started this one.
        highest = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(highest.split()[1]) * 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _NAMED_PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "not installed"
