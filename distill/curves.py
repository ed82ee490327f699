"""`curves.png`: what `metrics.jsonl` holds, drawn."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from schemas.files import whole_file

CURVES_NAME = "curves.png"
_MOST_POINTS = 500

# Of one curve: steps (or epochs), and values.
Points = tuple[list[int], list[float]]


def draw_curves(folder: Path, log: Path) -> None:
    """Draw the losses of each tower by step, and the metric that chooses by epoch.

    Args:
        folder: that gets the picture.
        log: lines of losses and of choices.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = read_curves(log)
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (panel, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        for name, points in curves.items():
            _draw(axes, panel, name, points)
        axes.set(title=panel, xlabel="epoch" if panel == "selection" else "batch")
        axes.legend(frameon=False, fontsize="small")
    with whole_file(folder / CURVES_NAME) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def read_curves(log: Path) -> dict[str, dict[str, Points]]:
    """The curves of each panel: `aligner`, `student`, `selection`."""
    panels: dict[str, dict[str, Points]] = defaultdict(lambda: defaultdict(lambda: ([], [])))
    batches: dict[str, int] = defaultdict(int)
    with log.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            named = {name: value for name, value in line.items() if "/" in name}
            for panel in sorted({name.partition("/")[0] for name in named}):
                batches[panel] += 1
            for name, value in named.items():
                panel, _, curve = name.partition("/")
                places, values = panels[panel][curve]
                places.append(batches[panel])
                values.append(value)
    return {name: panels[name] for name in ("aligner", "student", "selection") if name in panels}


def thinned(points: Points) -> Points:
    """At most some hundred points, each the mean of as many neighbours: an eye sees no more."""
    places, values = points
    size = -(-len(values) // _MOST_POINTS)
    starts = range(0, len(values), size)
    return [places[start] for start in starts], [
        float(np.mean(values[start : start + size])) for start in starts
    ]


def _draw(axes: Any, panel: str, name: str, points: Points) -> None:
    total = name == "total"
    style = {"marker": "o"} if panel == "selection" else {"linewidth": 1.6 if total else 0.8}
    axes.plot(*thinned(points), label=name, color="black" if total else None, **style)
