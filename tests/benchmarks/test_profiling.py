"""Profiles: stacks are counted towards the right part, and a student's steps are seen whole."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import step_profile
from benchmarks.measure import ROOT
from benchmarks.profiling import LOOP, TRAINING, WORKER
from benchmarks.stacks import OTHER, main_threads, of, sampled, shares, without
from distill.disciplines import DISCIPLINES
from schemas.tasks import LabelKind
from tests.distill.conftest import examples, write_cache, write_tiny

MAIN = 'process 1:"python -m distill";thread (1)'
STEP = f"{MAIN}: MainThread;fit (a.py:1);Training._step (distill/training.py:9)"
STACKS = Counter(
    {
        MAIN: 5,
        f"{STEP};retract_all (b.py:2)": 3,
        STEP: 1,
        'process 1:"python -m distill";thread (2): Other;wait (selectors.py:4)': 7,
        f"{MAIN};odd (c.py:3)": 1,
    }
)
FOLDERS = ("distill", "teacher_cache", "schemas")
FOREIGN = (
    *("importlib", "MainThread", "multiprocessing", "ibari", "onnxruntime", "WhisperFeatureExtractor"),
    *("Accelerator.", "AdamW.", "Optimizer.", "profile_hook_step"),
)
MARKS = [mark for parts in (WORKER, LOOP, TRAINING) for some in parts.values() for mark in some]
OURS = [mark for mark in MARKS if not any(foreign in mark for foreign in FOREIGN)]


def test_the_first_part_that_fits_has_a_stack() -> None:
    found = shares(main_threads(STACKS), TRAINING)
    assert {name: share for name, share in found.items() if share} == {
        "starting and ending": 0.5,
        "orthogonal projections": 0.3,
        "the rest of a step: aligner, losses": 0.1,
        OTHER: 0.1,
    }


def test_waiting_is_left_out_and_shares_are_of_the_whole() -> None:
    busy = without(STACKS, "(selectors.py")
    assert busy.total() == 10
    assert shares(main_threads(busy), LOOP, 20)["starting and ending"] == 0.25


def test_a_process_that_another_started_has_a_main_thread_of_its_own() -> None:
    nested = 'process 1:"a";process 2:"b";thread'
    counts = Counter({f"{nested} (2);f (a.py:1)": 1, f"{nested} (3): MainThread;f (a.py:1)": 1})
    assert main_threads(counts) == {'process 1:"a";process 2;MainThread;f (a.py:1)': 1}


@pytest.mark.parametrize("mark", OURS)
def test_what_parts_name_of_ours_is_there(mark: str) -> None:
    name, _, path = mark.partition("(")
    if path and not name:
        assert (ROOT / path).is_file()
        return
    owner, _, function = name.strip().rpartition(".")
    texts = [file.read_text() for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    assert any(f"def {function}(" in text and (not owner or f"class {owner}" in text) for text in texts)


def test_py_spy_sees_what_a_command_does(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("py-spy wants root here")
    script = tmp_path / "script.py"
    script.write_text("def spin():\n    sum(range(30_000_000))\nspin()\n")
    try:
        counts = sampled([sys.executable, script])
    except subprocess.CalledProcessError as error:
        if b"ermission denied" in error.stderr or b"not permitted" in error.stderr:
            pytest.skip("this machine lets no process read another's memory, which py-spy does")
        raise
    assert of(main_threads(counts), "spin (", "script.py:2").total() > 0


def test_the_steps_of_a_student_are_seen_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_profile, "WARM", 2)
    monkeypatch.setattr(step_profile, "STEPS", 3)
    write_cache(tmp_path / "cache", [*examples("train", 60), *examples("validation", 8)])
    row = DISCIPLINES[LabelKind.SINGLE]
    found = step_profile.profiled(
        tmp_path / "cache", "armada", write_tiny(tmp_path / "student", "bert", max_position_embeddings=128)
    )
    assert DISCIPLINES[LabelKind.SINGLE] is row
    assert found.operations > 0
    assert found.parameters > 0
    assert found.rows > 0
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert found.parts[step_profile.PRODUCTS] > 0
