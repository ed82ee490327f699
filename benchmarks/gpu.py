"""GPU: an encoder student beside an fp32 loop, an adapter of a 3B model, and unpacking on the device.

Only where there is a CUDA device; weights are random, since what a step costs does not depend on them.
benchmarks/gpu_encoder.py, gpu_adapter.py and gpu_unpacking.py say what each part is. The adapter wants 7 GB
of disk and a card of 40 GB or more. `python -m benchmarks.gpu encoder` prints one part and keeps nothing, and
`graphs` is a part that is printed alone: what `--compile` would do with CUDA graphs.
"""

import sys
from collections.abc import Sequence

import torch

from benchmarks import gpu_adapter, gpu_encoder, gpu_unpacking
from benchmarks.measure import Claim, machine

_PARTS = {
    "unpacking": gpu_unpacking.claims,
    "encoder": gpu_encoder.claims,
    "adapter": gpu_adapter.claims,
    "graphs": gpu_encoder.with_graphs,
}
_KEPT = ("unpacking", "encoder", "adapter")


def run(names: Sequence[str] = _KEPT) -> list[Claim]:
    """Measure the parts where there is a CUDA device; say in one line where there is none."""
    if not torch.cuda.is_available():
        print("gpu: no CUDA device, so nothing is measured")
        sys.exit(0)
    claims: list[Claim] = []
    for name in names:
        print(f"  {name} ...", flush=True)
        claims += _PARTS[name](torch.device("cuda"))
    return claims


if __name__ == "__main__":
    print(*run(sys.argv[1:]), machine(), sep="\n")
