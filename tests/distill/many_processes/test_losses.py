"""What two processes learn with a global batch is what one learns with it."""

from pathlib import Path

import pytest

from schemas.cache import TeacherCache
from tests.process_groups import Start, equal

# Batches of five rows are cut in two and three, and of the last one's single row one process has none.
SMALL = ("--batch-size", "5", "--epochs", "1", "--max-length", "32", "--limit-train", "21", "--lr", "1e-3")
ARMADA = (*SMALL, "--hidden-dim", "16", "--aligner-lr", "1e-3", "--alpha", "0.3")
CLASSES = {
    "alternating": ("--manifold", "cosine", "--formulation", "paper"),
    "joint, accumulated, blurred": (
        *("--manifold", "euclid", "--schedule", "joint", "--accumulate", "3", "--control", "noise:0.5"),
    ),
    "frozen, unread heads": (
        *("--manifold", "cosine", "--schedule", "frozen", "--gamma", "0", "--alpha", "0"),
    ),
}


@pytest.mark.parametrize("name", CLASSES)
def test_of_classes(
    start_group: Start, cache: TeacherCache, calm_student: Path, tmp_path: Path, name: str
) -> None:
    options = (*ARMADA, *CLASSES[name])
    runs = [
        start_group(tmp_path / str(count), cache, calm_student, *options, count=count) for count in (0, 2)
    ]
    assert [run.statuses for run in runs] == [[0], [0, 0]], [run.lines for run in runs]
    assert [run.lines for run in runs] == [[], []]
    equal(*runs)
    assert "trained in 2 processes" in " ".join(runs[1].result()["notes"])
    assert runs[1].result()["device"].startswith("2 processes, each on cpu")
    assert not list(tmp_path.glob("2/checkpoint"))
