import json
from pathlib import Path

from matplotlib.image import imread

from distill.curves import draw_curves, read_curves, thinned

LINES = [
    {"epoch": 1, "step": 1, "aligner/total": 2.0, "aligner/task": 1.0},
    {"epoch": 1, "step": 1, "student/total": 3.0},
    {"epoch": 1, "step": 2, "aligner/total": 1.0, "aligner/task": 0.5, "student/total": 2.0},
    {"epoch": 1, "selection/accuracy": 0.5},
]


def write(folder: Path) -> Path:
    log = folder / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return log


def test_each_tower_has_its_batches_and_the_choice_its_epochs(tmp_path: Path) -> None:
    assert read_curves(write(tmp_path)) == {
        "aligner": {"total": ([1, 2], [2.0, 1.0]), "task": ([1, 2], [1.0, 0.5])},
        "student": {"total": ([1, 2], [3.0, 2.0])},
        "selection": {"accuracy": ([1], [0.5])},
    }


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    draw_curves(tmp_path, write(tmp_path))
    assert imread(tmp_path / "curves.png").shape[:2] == (350, 1350)


def test_a_long_run_is_thinned_to_means() -> None:
    places, values = thinned((list(range(1200)), [float(value) for value in range(1200)]))
    assert len(values) == 400
    assert (places[1], values[1]) == (3, 4.0)
    assert thinned(([1, 2], [5.0, 6.0])) == ([1, 2], [5.0, 6.0])
