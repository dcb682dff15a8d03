"""Plots of a report. Their ground is light and opaque, so that they can be read on a dark page, too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from samplerzoo.bench.machine import Machine
from samplerzoo.bench.results import Protocol
from samplerzoo.markup import plotted
from samplerzoo.report.series import FD, Floor, drop_lone_points
from samplerzoo.system.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HUES = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#56606b", "#33a0c8")
"""Hues that colour-blind readers can tell apart, after Okabe and Ito; the light ones are darker, for a light ground."""

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)))
MARKERS = "osD^vPX<>*ph8d"
PAPER, INK, FAINT = "#fcfcfa", "#24292f", "#d8dce0"
DPI = 150
LETTER, LINE = 0.078, 0.19
"""Width of a letter and height of a line of the legend, in inches."""
LONGEST, MOST_LINES = 120, 400
"""Letters and lines of a legend that a picture has room for."""

CROWDED = 0.045
"""Share of an axis. Ticks that are closer to each other lose their label."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes: a column of the points over another.

    Attributes:
        floor: height of the line of real images.
        ticks: label each place on the x axis, and no other.
        logarithmic: scale of the x axis.
    """

    x: str
    y: str
    xlabel: str
    ylabel: str
    floor: float | None = None
    ticks: bool = False
    logarithmic: bool = True


def plot_distances(
    protocol: Protocol, floor: Floor | None, points: DataFrame, machine: Machine | None, folder: Path, stem: str
) -> list[str]:
    """Plot distance against steps, against NFE where that is another number, and against seconds.

    Returns:
        Names of the files: `STEM-steps.png`, `STEM-nfe.png`, `STEM-seconds.png`.
    """
    walked = drop_lone_points(points)
    if walked.empty:
        return []
    same = (walked["cost.nfe"] == walked.index.get_level_values("place")).all()
    label = f"Fréchet distance, {protocol.metric}"
    level = None if floor is None else floor.mean
    nfe = "network evaluations per image (NFE)"
    panels = {"steps": Panel("place", FD, f"steps = {nfe}" if same else "steps", label, level, ticks=True)}
    if not same:
        panels["nfe"] = Panel("cost.nfe", FD, nfe, label, level, ticks=True)
    if walked["seconds"].notna().any():
        panels["seconds"] = Panel("seconds", FD, f"seconds per image ({machine})", label, level)
    for name, panel in panels.items():
        title = f"{_title(protocol)}; lower is better"
        _save([panel], walked, _styles(points), title, folder / f"{stem}-{name}.png")
    return [f"{stem}-{name}.png" for name in panels]


def plot_guidance(protocol: Protocol, floor: Floor | None, points: DataFrame, folder: Path, stem: str) -> list[str]:
    """Plot distance, accuracy, precision and recall against guidance scale.

    Returns:
        Name of the file, `STEM-guidance.png`, if any line has two scales.
    """
    swept = drop_lone_points(points)
    if swept.empty:
        return []
    fields = {
        FD: f"Fréchet distance, {protocol.metric}",
        "metrics.label_accuracy": "label accuracy",
        "metrics.precision": "precision",
        "metrics.recall": "recall",
    }
    panels = [
        Panel("place", y, "guidance scale", label, floor.mean if floor and y == FD else None, logarithmic=False)
        for y, label in fields.items()
        if swept[y].notna().any()
    ]
    _save(panels, swept, _styles(points), _title(protocol), folder / f"{stem}-guidance.png")
    return [f"{stem}-guidance.png"]


def _title(protocol: Protocol) -> str:
    images = "exact" if protocol.images is None else f"{protocol.images:,} images against {protocol.reference}"
    return f"{protocol.model}: {images}"


Style = dict[str, Any]


def _styles(points: DataFrame) -> dict[str, Style]:
    """Choose a hue and a dash pattern for each sampler and guidance, from dark to light over its lines.

    Every line has a marker of its own, so that two with the same figures can both be seen.
    """
    families: dict[tuple[str, str | None], list[str]] = {}
    for line, row in points["row"].groupby(level="line", observed=True).first().items():
        families.setdefault((row.recipe.sampler, row.recipe.guidance), []).append(line)
    found: dict[str, Style] = {}
    for names, hue, dashes in zip(families.values(), itertools.cycle(HUES), itertools.cycle(DASHES), strict=False):
        for position, name in enumerate(names):
            share = 0.0 if len(names) == 1 else position / (len(names) - 1) - 0.5
            marker = MARKERS[len(found) % len(MARKERS)]
            found[name] = {"color": _shade(hue, share), "marker": marker, "linestyle": dashes}
    return found


def _shade(hue: str, share: float) -> tuple[float, ...]:
    """Mix a hue with black (share below 0) or white (above 0)."""
    goal = 0.0 if share < 0 else 1.0
    channels = [int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    amount = abs(share) * (1.0 if share < 0 else 0.7)  # a line that is too light is lost on the ground
    return tuple(channel + amount * (goal - channel) for channel in channels)


def _save(panels: Sequence[Panel], points: DataFrame, styles: dict[str, Style], title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    lines = points.index.get_level_values("line").unique()
    columns = 1 if len(panels) == 1 else 2
    rows = math.ceil(len(panels) / columns)
    entry = LETTER * min(max(map(len, lines)), LONGEST) + 0.7
    size = (6.8 + entry, max(4.8, LINE * (min(len(lines), MOST_LINES) + 2))) if columns == 1 else (11, 3.7 * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor=PAPER)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.suptitle(plotted(title), x=0.012, ha="left", fontsize=11, color=INK)
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, points.reset_index().dropna(subset=[panel.x, panel.y]), styles)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    _legend(figure, grid[0], 1 if len(panels) == 1 else max(int(size[0] / entry), 1), beside=len(panels) == 1)
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI)


def _draw(axes: Axes, panel: Panel, points: DataFrame, styles: dict[str, Style]) -> None:
    for line, own in points.groupby("line", observed=True):
        axes.errorbar(
            own[panel.x], own[panel.y], own[f"{panel.y} sd"], label=plotted(line), linewidth=1.6, markersize=5.5,
            markeredgecolor=PAPER, markeredgewidth=0.6, capsize=3, **styles[line],
        )  # fmt: skip
    if panel.floor is not None:
        axes.axhline(panel.floor, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="real images", zorder=1)
    axes.set_xlabel(plotted(panel.xlabel), color=INK)
    axes.set_ylabel(plotted(panel.ylabel), color=INK)
    _scales(axes, panel, points)
    axes.set_facecolor(PAPER)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.tick_params(which="both", colors=INK, length=0)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def _scales(axes: Axes, panel: Panel, points: DataFrame) -> None:
    """Make an axis logarithmic where its values ask for it, with plain numbers as ticks."""
    values = [*points[panel.y], *([] if panel.floor is None else [panel.floor])]
    if values and min(values) > 0 and max(values) > 8 * min(values):
        axes.set_yscale("log")
        _plain(axes.yaxis, max(values) / min(values))
    if panel.logarithmic:
        axes.set_xscale("log")
        places = sorted(points[panel.x].unique())
        if panel.ticks:
            axes.set_xticks(places, _sparse(places))
            axes.minorticks_off()
        else:
            _plain(axes.xaxis, places[-1] / places[0])


def _sparse(values: Sequence[float]) -> list[str]:
    """Label the ticks of a logarithmic axis, with nothing where labels would overlap."""
    width = math.log(values[-1] / values[0]) or 1.0
    labels, last = [], -math.inf
    for value in values:
        place = math.log(value) / width
        labels.append(f"{value:g}" if place - last > CROWDED else "")
        last = place if labels[-1] else last
    return labels


def _plain(axis: Any, ratio: float) -> None:
    """Show 0.5, 1, 2 in place of powers of ten, where the range (highest over lowest) is not too wide for it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 300 else (1, 3) if ratio < 3e4 else (1,), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if ratio < 1e5:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(figure: Figure, axes: Axes, columns: int, *, beside: bool) -> None:
    """Place the legend beside a single plot or below several: markers without error bars, and the floor at the end."""
    from matplotlib.container import ErrorbarContainer

    found = list(zip(*axes.get_legend_handles_labels(), strict=True))
    found.sort(key=lambda entry: not isinstance(entry[0], ErrorbarContainer))
    handles = [handle[0] if isinstance(handle, ErrorbarContainer) else handle for handle, _ in found]
    labels = [label for _, label in found]
    place = "outside right upper" if beside else "outside lower center"
    figure.legend(handles, labels, loc=place, ncols=columns, frameon=False, fontsize=9, labelcolor=INK)
