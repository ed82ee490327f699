"""What torch reads of the environment, once: when it is imported, or when it first asks for memory."""

import os


def settle() -> None:
    """Let waiting threads sleep and large tensors lie in large pages, unless the user said otherwise.

    Called before torch is imported. OpenMP's threads spin while they wait: beside other work on the machine
    that costs a factor of four and more. A tensor as large as the gradient of a vocabulary is new memory in
    every step, which in Linux's usual pages takes four times as long to fill.

    Source: docs/decisions/0008-threads-sleep.md.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
