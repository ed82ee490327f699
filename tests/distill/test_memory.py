"""What streaming needs of memory: a few row groups, however large the cache."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.cache import TeacherCache

ROOT = Path(__file__).parents[2]
# Prints the peak of resident bytes before and after one epoch, and the bytes of representations that came by.
READ = """
import sys
import torch
from pathlib import Path
from distill.config import resolve
from distill.material import gather
from distill.pretrained import load_tokenizer
from schemas.cache import open_cache
from schemas.tasks import find_task

def peak():
    # ru_maxrss would be that of the process that started this one.
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024

folder, student = sys.argv[1:]
task, tokenizer, cache = find_task("movie-sentiment"), load_tokenizer(student), open_cache(Path(folder))
run = resolve({"task": task.name, "student": student, "standardise": False}, "image")
material = gather(run, cache, task, tokenizer, torch.device("cpu"), workers=1)
before = peak()
read = sum(batch.teacher_repr_BD.nbytes for batch in material.train.batches(0, 0))
print(before, peak(), read)
"""
WINDOW = 128 << 20


@pytest.mark.slow
def test_memory_is_a_few_row_groups_whatever_the_size(
    make_cache: Callable[..., TeacherCache], tiny_student: Path, tmp_path: Path
) -> None:
    shape = {"validation": 8, "width": 8192, "rows_per_shard": 2000, "with_stats": False}
    cache = make_cache(tmp_path / "cache", train=12_000, **shape)
    command = [sys.executable, "-c", READ, str(cache.folder), str(tiny_student)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    before, after, read = map(int, done.stdout.split())
    assert read > 350e6
    assert after - before < 2 * WINDOW
