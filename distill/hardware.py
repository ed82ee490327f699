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

from schemas.errors import ConfigError, StudentError

_NAMED_PACKAGES = ("armada-distill", "torch", "transformers", "accelerate", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where a run computes.

    Attributes:
        device: of both towers.
        bf16: whether training passes run in bfloat16.
        threads: of torch on the CPU.
    """

    device: torch.device
    bf16: bool
    threads: int

    def autocast(self) -> torch.autocast:
        """The precision of training passes, as a context."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def __str__(self) -> str:
        name = (
            torch.cuda.get_device_name(self.device)
            if self.device.type == "cuda"
            else f"{self.threads} threads"
        )
        return f"{self.device.type} ({name}), {'bf16' if self.bf16 else 'fp32'}"


def find_hardware(device: str, precision: str) -> Hardware:
    """Settle `auto`, and give torch as many threads as there are cores (or OMP_NUM_THREADS).

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise ConfigError("--device cuda: no CUDA device here; wanted cpu or auto, or a machine with one")
    chosen = torch.device("cuda" if cuda and device != "cpu" else "cpu")
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    torch.set_num_threads(threads)
    bf16 = precision == "bf16" or (precision == "auto" and _has_native_bf16(chosen))
    return Hardware(chosen, bf16, threads)


@contextmanager
def enough_memory(num_rows: int, num_tokens: int) -> Generator[None]:
    """Make one line of a device that has no memory left.

    Args:
        num_rows: of the batch.
        num_tokens: that it is wide.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise StudentError(
            f"out of memory on a batch of {num_rows} rows, {num_tokens} tokens wide; go on with "
            "--gradient-checkpointing, or begin anew with a smaller --batch-size (and --accumulate), "
            "a smaller --max-length, --precision bf16 or --lora-rank"
        ) from None


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
