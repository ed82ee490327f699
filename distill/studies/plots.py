"""The picture of a study: gains, levels, boxes, noise or points, in colours that every eye can tell.

Numbers stand in the table beside it; a picture shows what was run, and the paper's numbers beside that.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

from distill.studies.sheet import Line, Sheet
from distill.studies.study import AVERAGE, LOSSES, UNDISTILLED

# Okabe and Ito, Color Universal Design, 2008: told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_MARKERS = "osD^vP*X"
_MOST_ROWS = 60
_PAPER, _OURS = "#767676", COLOURS[0]


def draw(sheet: Sheet) -> bytes | None:
    """The picture as PNG; None where there is nothing to draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = PLOTS[sheet.study.plot](sheet)
    if figure is None:
        return None
    buffer = io.BytesIO()
    figure.tight_layout()
    # Nothing of the day or the machine, so that the same numbers give the same bytes.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _rows(sheet: Sheet) -> list[Line]:
    return [line for line in sheet.lines if line.key.task != AVERAGE]


def _label(line: Line) -> str:
    key = line.key
    task = line.task or key.task
    return f"{key.model}, {task}: {key.variant}" if key.model else f"{task}: {key.variant}"


def _gains(sheet: Sheet) -> Any:
    """One row a number: our gain with its interval, and the paper's; means over tasks where too many."""
    rows = [line for line in _rows(sheet) if line.gain is not None]
    if not rows or len(rows) > _MOST_ROWS:
        return _mean_gains(sheet)
    figure, (axes,) = _figure(8, 1.2 + 0.24 * len(rows))
    for place, line in enumerate(rows):
        assert line.gain is not None, "kept above"
        if line.gain.low is not None:
            axes.plot([line.gain.low, line.gain.high], [place, place], color=_OURS, alpha=0.5)
        axes.plot(line.gain.mean, place, "o", color=_OURS, label="ours" if place == 0 else None)
    _printed(axes, [(line.printed_gain, place) for place, line in enumerate(rows)])
    _finish(axes, sheet, [_label(line) for line in rows])
    return figure


def _mean_gains(sheet: Sheet) -> Any:
    """One row a model, teacher and loss: mean gains over tasks."""
    rows = sheet.summaries
    if not rows:
        return None
    figure, (axes,) = _figure(8, 1.2 + 0.24 * len(rows))
    ours = [(one.ours, place) for place, one in enumerate(rows) if one.ours is not None]
    if ours:
        axes.plot(*zip(*ours, strict=True), "o", color=_OURS, label="ours")
    _printed(axes, [(one.printed, place) for place, one in enumerate(rows)])
    _finish(axes, sheet, [f"{one.model}, {one.teacher}: {one.variant}" for one in rows])
    return figure


def _printed(axes: Any, said: Sequence[tuple[float | None, int]]) -> None:
    known = [(value, place) for value, place in said if value is not None]
    if known:
        axes.plot(*zip(*known, strict=True), "x", color=_PAPER, label="paper")


def _finish(axes: Any, sheet: Sheet, labels: Sequence[str]) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel(f"gain over {sheet.study.baseline}, points; lines: 95 % over seeds")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _levels(sheet: Sheet) -> Any:
    """Numbers as they are, ours with their deviation beside the paper's."""
    shown = [line for line in _rows(sheet) if line.key.metric != "p_value"]
    rows = [line for line in shown if line.mean is not None]
    if not rows:
        return None
    figure, (axes,) = _figure(8, 1.2 + 0.24 * len(rows))
    for place, line in enumerate(rows):
        if line.mean is not None:
            axes.errorbar(
                line.mean, place, xerr=line.deviation or 0, fmt="o", color=_OURS,
                label="ours, one deviation" if place == 0 else None,
            )  # fmt: skip
    _printed(axes, [(line.printed.value if line.printed else None, place) for place, line in enumerate(rows)])
    axes.set_yticks(range(len(rows)), [f"{_label(line)}, {line.key.metric}" for line in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.legend(fontsize=8)
    return figure


def _boxes(sheet: Sheet) -> Any:
    """Gains under each loss: the paper's cells, and ours by seed."""
    figure, panels = _figure(8, 3.6, 2)
    drawn = False
    for axes, name in zip(panels, ("paper", "ours"), strict=True):
        gains = {loss: _gains_of(sheet, loss, ours=name == "ours") for loss in LOSSES}
        shown = {loss: values for loss, values in gains.items() if values}
        axes.set_title(name if shown else f"{name}: not run")
        axes.axhline(0, color="black", linewidth=0.8)
        if shown:
            drawn = True
            boxes = axes.boxplot(
                list(shown.values()), tick_labels=list(shown), patch_artist=True,
                medianprops={"color": "black"},
            )  # fmt: skip
            for box, colour in zip(boxes["boxes"], COLOURS, strict=False):
                box.set_facecolor(colour)
        axes.set_ylabel(f"gain over {sheet.study.baseline}, points")
    return figure if drawn else None


def _gains_of(sheet: Sheet, loss: str, *, ours: bool) -> list[float]:
    rows = [line for line in _rows(sheet) if line.key.variant == loss]
    found = [(line.gain.mean if line.gain else None) if ours else line.printed_gain for line in rows]
    return [value for value in found if value is not None]


def _noise(sheet: Sheet) -> Any:
    """Performance over sigma, one line for each task and tower, beside the undistilled student."""
    series: dict[str, list[tuple[float, float]]] = {}
    for line in _rows(sheet):
        if line.mean is not None and line.key.variant.startswith("sigma="):
            name = f"{line.key.model}, {line.task or line.key.task}"
            series.setdefault(name, []).append((float(line.key.variant.removeprefix("sigma=")), line.mean))
    if not series:
        return None
    figure, (axes,) = _figure(8, 4.2)
    for index, (name, points) in enumerate(series.items()):
        axes.plot(
            *zip(*sorted(points), strict=True), marker=_MARKERS[index % len(_MARKERS)],
            color=COLOURS[index % len(COLOURS)], label=name,
        )  # fmt: skip
    for line in _rows(sheet):
        if line.mean is not None and line.key.variant == UNDISTILLED:
            axes.axhline(line.mean, color=_PAPER, linewidth=0.7, linestyle=":")
    axes.set_xlabel("sigma of the noise; dotted: undistilled")
    axes.set_ylabel("metric of the task, points")
    axes.legend(fontsize=7)
    return figure


def _points(sheet: Sheet) -> Any:
    """States in the plane, one panel for each task and tower."""
    series = sheet.analysed.points if sheet.analysed else None
    if not series:
        return None
    columns = 3 if len(series) > 4 else 2
    lines = -(-len(series) // columns)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * columns, 3.0 * lines), dpi=110)
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for (name, points), axes in zip(series.items(), panels, strict=False):
        for index, group in enumerate(sorted({group for *_, group in points})):
            own = [(x, y) for x, y, one in points if one == group]
            axes.scatter(
                *zip(*own, strict=True), s=10, label=group, marker=_MARKERS[index % len(_MARKERS)],
                color=COLOURS[index % len(COLOURS)],
            )  # fmt: skip
        axes.set_title(name, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        if points:
            axes.legend(fontsize=6)
    for axes in panels:
        axes.set_axis_off()
    return figure


PLOTS: dict[str, Callable[[Sheet], Any]] = {
    "gains": _gains,
    "levels": _levels,
    "boxes": _boxes,
    "noise": _noise,
    "points": _points,
}
