"""Kill stage one again and again; each run is a process of its own, forked so that it starts at once.

kill_loop.py PROMPTS FOLDER KILLS SEED: caches are filled below FOLDER, each killed with SIGKILL at random
moments and gone on with until it is whole; new ones are begun until there were so many kills. Prints, as
JSON, the numbers of caches and kills.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import fast_teacher
import numpy as np
import pyarrow as pa
import safetensors.numpy  # noqa: F401 - before the first fork, or each child spends its short life on it

from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig


def fill(prompts: Path, out: Path) -> None:
    cache_teacher(
        CacheConfig(
            model="fast:",
            prompts=prompts,
            out=out,
            store=("text", "repr", "logprobs"),
            rows_per_shard=20,
            workers=2,
            quiet=True,
        )
    )


def survives(prompts: Path, out: Path, seconds: float | None) -> bool:
    """Run in a child, killed after so many seconds; whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            fill(prompts, out)
        except BaseException as error:  # noqa: BLE001
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a run failed by itself")
    return os.WIFEXITED(status)


def main(prompts: Path, folder: Path, kills: int, seed: int) -> None:
    fast_teacher.register()
    # The first array makes pyarrow look for pandas, the first generator makes numpy load random numbers.
    pa.array([float(np.random.default_rng(0).normal())])
    moments = random.Random(seed)
    started = time.monotonic()
    survives(prompts, folder / "whole", None)
    longest = time.monotonic() - started
    done = caches = 0
    while done < kills:
        out = folder / f"killed-{caches}"
        while not survives(prompts, out, moments.uniform(0, longest / 2)):
            done += 1
        caches += 1
    sys.stdout.write(json.dumps({"caches": caches, "kills": done}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
