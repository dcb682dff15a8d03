"""The plots of a report. Their ground is light and opaque, so that they can be read on a dark page, too."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo.bench.machine import Machine
from samplerzoo.bench.results import Protocol
from samplerzoo.report.series import Estimate, Line, Point
from samplerzoo.system.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HUES = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#56606b", "#33a0c8")
"""After Okabe and Ito, whom colour-blind readers can tell apart; the light ones are darker, for a light ground."""

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)))
MARKERS = "osD^vPX<>*ph8d"
PAPER, INK, FAINT = "#fcfcfa", "#24292f", "#d8dce0"
DPI = 150
LETTER, LINE = 0.078, 0.19
"""Inches that a letter and a line of the legend take."""

CROWDED = 0.045
"""Of an axis: ticks that are closer to each other lose their label."""


@dataclass(frozen=True)
class Panel:
    """What is drawn over what; a field is one of the rows, such as `metrics.recall`."""

    x: Callable[[Point], float | None]
    y: Callable[[Point], Estimate | None]
    xlabel: str
    ylabel: str
    floor: float | None = None
    ticks: bool = False
    logarithmic: bool = True


def distances(protocol: Protocol, floor: Estimate | None, lines: Sequence[Line], folder: Path, stem: str) -> list[str]:
    """Distance against steps, against NFE where that is another thing, and against seconds: the files' names."""
    walked = [line for line in lines if len(line.points) > 1]
    if not walked:
        return []
    points = [point for line in walked for point in line.points]
    same = all(point.nfe == point.steps for point in points)
    label = f"Fréchet distance, {protocol.metric}"
    level = None if floor is None else floor.mean

    def panel(x: Callable[[Point], float | None], xlabel: str, ticks: bool) -> Panel:
        return Panel(x, lambda point: point.fd, xlabel, label, level, ticks)

    nfe = "network evaluations per image (NFE)"
    panels = {"steps": panel(lambda p: p.steps, f"steps = {nfe}" if same else "steps", True)}
    if not same:
        panels["nfe"] = panel(lambda p: p.nfe, nfe, True)
    machine = commonest_machine(points)
    if machine is not None:
        panels["seconds"] = panel(lambda p: seconds(p, machine), f"seconds per image ({machine})", False)
    styles = style(lines)
    for name, content in panels.items():
        _save(
            [content],
            walked,
            styles,
            f"{title(protocol)}; lower is better",
            folder / f"{stem}-{name}.png",
        )
    return [f"{stem}-{name}.png" for name in panels]


def guidance(protocol: Protocol, floor: Estimate | None, sweeps: Sequence[Line], folder: Path, stem: str) -> list[str]:
    """Guidance scale against distance, accuracy, precision and recall: the file's name."""
    swept = [line for line in sweeps if len(line.points) > 1]
    if not swept:
        return []
    level = None if floor is None else floor.mean
    fields = {
        "metrics.fd": f"Fréchet distance, {protocol.metric}",
        "metrics.label_accuracy": "label accuracy",
        "metrics.precision": "precision",
        "metrics.recall": "recall",
    }
    points = [point for line in swept for point in line.points]
    panels = [
        Panel(lambda p: p.scale, _field(field), "guidance scale", label, level if field == "metrics.fd" else None,
              logarithmic=False)
        for field, label in fields.items() if any(point.mean(field) is not None for point in points)
    ]  # fmt: skip
    _save(panels, swept, style(sweeps), title(protocol), folder / f"{stem}-guidance.png")
    return [f"{stem}-guidance.png"]


def title(protocol: Protocol) -> str:
    """What the figures are figures of."""
    images = "exact" if protocol.images is None else f"{protocol.images:,} images against {protocol.reference}"
    return f"{protocol.model}: {images}"


def _field(field: str) -> Callable[[Point], Estimate | None]:
    return lambda point: point.estimate(field)


def commonest_machine(points: Sequence[Point]) -> Machine | None:
    found = Counter(row.speed.machine for point in points for row in point.rows if row.speed is not None)
    return max(found, key=lambda machine: found[machine]) if found else None


def seconds(point: Point, machine: Machine) -> float | None:
    """An image's, on one process of this machine."""
    speeds = [row.speed for row in point.rows if row.speed is not None and row.speed.machine == machine]
    return sum(1 / speed.images_per_second for speed in speeds) / len(speeds) if speeds else None


Style = dict[str, Any]


def style(lines: Sequence[Line]) -> dict[str, Style]:
    """A hue and a dash pattern a family, its lines from dark to light; every line has a marker of its own.

    Of two families with the same figures, as ddim at eta 1 and ddpm, both can be seen.
    """
    families: dict[tuple[str, str | None], list[str]] = {}
    for line in lines:
        families.setdefault(line.family, []).append(line.name)
    found: dict[str, Style] = {}
    for names, hue, dashes in zip(families.values(), itertools.cycle(HUES), itertools.cycle(DASHES), strict=False):
        for position, name in enumerate(names):
            share = 0.0 if len(names) == 1 else position / (len(names) - 1) - 0.5
            marker = MARKERS[len(found) % len(MARKERS)]
            found[name] = {"color": _shade(hue, share), "marker": marker, "linestyle": dashes}
    return found


def _shade(hue: str, share: float) -> tuple[float, ...]:
    """Towards black below 0, towards white above."""
    goal = 0.0 if share < 0 else 1.0
    channels = [int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    amount = abs(share) * (1.0 if share < 0 else 0.7)  # a line that is too light is lost on the ground
    return tuple(channel + amount * (goal - channel) for channel in channels)


def _save(panels: Sequence[Panel], lines: Sequence[Line], styles: dict[str, Style], title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    columns = 1 if len(panels) == 1 else 2
    rows = math.ceil(len(panels) / columns)
    entry = LETTER * max(len(line.name) for line in lines) + 0.7
    size = (6.8 + entry, max(4.8, LINE * (len(lines) + 2))) if columns == 1 else (11, 3.7 * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor=PAPER)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, color=INK)
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, lines, styles)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    _legend(figure, grid[0], 1 if len(panels) == 1 else max(int(size[0] / entry), 1), beside=len(panels) == 1)
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI)


def _draw(axes: Axes, panel: Panel, lines: Sequence[Line], styles: dict[str, Style]) -> None:
    for line in lines:
        found = [(x, y) for p in line.points if (x := panel.x(p)) is not None and (y := panel.y(p)) is not None]
        if not found:
            continue
        places, values = zip(*found, strict=True)
        axes.errorbar(
            places, [y.mean for y in values], [math.nan if y.sd is None else y.sd for y in values], label=line.name,
            linewidth=1.6, markersize=5.5, markeredgecolor=PAPER, markeredgewidth=0.6, capsize=3, **styles[line.name],
        )  # fmt: skip
    if panel.floor is not None:
        axes.axhline(panel.floor, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="real images", zorder=1)
    axes.set_xlabel(panel.xlabel, color=INK)
    axes.set_ylabel(panel.ylabel, color=INK)
    _scales(axes, panel, lines)
    axes.set_facecolor(PAPER)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.tick_params(which="both", colors=INK, length=0)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def _scales(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    points = [point for line in lines for point in line.points]
    values = [found.mean for point in points if (found := panel.y(point)) is not None]
    if panel.floor is not None:
        values.append(panel.floor)
    if values and min(values) > 0 and max(values) > 8 * min(values):
        axes.set_yscale("log")
        _plain(axes.yaxis, max(values) / min(values))
    if panel.logarithmic:
        axes.set_xscale("log")
        places = sorted({x for point in points if (x := panel.x(point)) is not None})
        if panel.ticks:
            axes.set_xticks(places, _sparse(places))
            axes.minorticks_off()
        else:
            _plain(axes.xaxis, places[-1] / places[0])


def _sparse(values: Sequence[float]) -> list[str]:
    """Labels of ticks on a logarithmic axis, empty where they would overlap."""
    width = math.log(values[-1] / values[0]) or 1.0
    labels, last = [], -math.inf
    for value in values:
        place = math.log(value) / width
        labels.append(f"{value:g}" if place - last > CROWDED else "")
        last = place if labels[-1] else last
    return labels


def _plain(axis: Any, ratio: float) -> None:
    """0.5, 1, 2 in place of powers of ten, where the range is not too wide for it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 300 else (1, 3) if ratio < 3e4 else (1,), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if ratio < 1e5:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(figure: Figure, axes: Axes, columns: int, *, beside: bool) -> None:
    """Beside a single plot, below several; markers without their error bars, and the floor at the end."""
    from matplotlib.container import ErrorbarContainer

    found = list(zip(*axes.get_legend_handles_labels(), strict=True))
    found.sort(key=lambda entry: not isinstance(entry[0], ErrorbarContainer))
    handles = [handle[0] if isinstance(handle, ErrorbarContainer) else handle for handle, _ in found]
    labels = [label for _, label in found]
    place = "outside right upper" if beside else "outside lower center"
    figure.legend(handles, labels, loc=place, ncols=columns, frameon=False, fontsize=9, labelcolor=INK)
