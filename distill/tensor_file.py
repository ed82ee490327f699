"""Tensors in a safetensors file, hashed as they are written and synced before the name is given away.

The library's own writer hides the disk's errors and would have the file read once more for its digest.
"""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

_DTYPES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write named tensors, one at a time, so that no second copy of all stands in memory.

    Args:
        path: to write, in place; the caller makes it atomic.
        tensors: on any device.

    Returns:
        sha256 of the file's bytes.

    Raises:
        OSError: the disk is full, read-only or broken.

    Source: the safetensors format: header length, JSON header, values without gaps, wide types first.
    """
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    header = _header(ordered)
    digest = sha256()
    with path.open("wb") as file:
        start = len(header).to_bytes(8, "little") + header
        for part in chain([memoryview(start)], map(_bytes_of, ordered.values())):
            file.write(part)
            digest.update(part)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    entries, end = {}, 0
    for name, value in tensors.items():
        begin, end = end, end + value.numel() * value.element_size()
        entries[name] = {
            "dtype": _DTYPES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries).encode()
    return text + b" " * (-len(text) % 8)


def _bytes_of(value: Tensor) -> memoryview:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
