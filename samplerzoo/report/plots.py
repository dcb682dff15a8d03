"""Plots of a report: the Pareto front of cost and quality, lines by family in front of all others, and guidance scales.

A family is the lines of one sampler and guidance. Intervals are of 95%. The background is light and opaque, so that
plots can be read on dark pages, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pandas import DataFrame

from samplerzoo.bench.machine import Machine
from samplerzoo.bench.results import ERROR, Protocol
from samplerzoo.metrics.influence import NORMAL_95
from samplerzoo.report.callouts import Callout, Places, place
from samplerzoo.report.decide import Judge, Point
from samplerzoo.report.series import Floor, drop_lone_points
from samplerzoo.report.tables import margin
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.markup import plotted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

HUES = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#8a6d00", "#56606b", "#33a0c8")
"""Hues that colour-blind readers can distinguish, after Okabe and Ito; light ones are darkened for the background."""

PAPER, INK, FAINT, BEHIND = "#fcfcfa", "#24292f", "#d8dce0", "#c3c9cf"
DPI = 150
PANELS = 3
"""Maximum number of panels side by side."""

HEADROOM = 6
"""Highest distance in a plot of the front, as a multiple of the front's own highest distance."""

TICK_GAP = 3
"""Pixels to keep free around the label of a tick."""

LEAST_SHOWN = 0.5
"""Least share of the points in a plot of the front. If HEADROOM leaves fewer, the plot shows all points."""

REAL = "real images"

ENDS = ["low", "high"]
"""Columns of the ends of intervals."""

WIDE_RANGE = 8
"""Ratio of the highest to the lowest distance above which the axis is logarithmic."""


def save_plots(
    judge: Judge,
    scales: Judge | None,
    floor: Floor | None,
    machine: Machine | None,
    folder: Path,
    stem: str,
    baseline: Sequence[Point] = (),
) -> dict[str, str]:
    """Plot distance against evaluations, distance against seconds, and all metrics against the guidance scale.

    Args:
        scales: judge of the points along the guidance scale; None if no line has two scales.
        machine: machine that took the seconds; None if they cannot be compared, and are not plotted.
        baseline: points that a user asked to compare all others with.

    Returns:
        Description of each plot, by the name of its file.
    """
    points, protocol = judge.points, judge.protocol
    found: dict[str, str] = {}
    if scales is not None:
        found[f"{stem}-guidance.png"] = f"Guidance scale against {protocol.metric} and the other metrics"
        _save(_guidance(scales, floor), folder / f"{stem}-guidance.png")
    found |= save_cost_plots(points, protocol, floor, folder, stem, baseline)
    if machine is not None and len(front(points, "seconds")) > 1:
        found[f"{stem}-seconds.png"] = f"The lowest {protocol.metric} at each time"
        label = f"seconds per image ({machine})"
        _save(_front(points, protocol, floor, "seconds", label, baseline), folder / f"{stem}-seconds.png")
    return found


def save_cost_plots(
    points: DataFrame,
    protocol: Protocol,
    floor: Floor | None,
    folder: Path,
    stem: str,
    baseline: Sequence[Point] = (),
) -> dict[str, str]:
    """Plot a distance, or the error of images, against evaluations: the front of all lines, and each sampler's lines.

    Args:
        points: table by line and place, with `distance`, its interval from `low` to `high`, `work`, `budget` and `row`.
        baseline: points that a user asked to compare all others with.

    Returns:
        Description of each plot, by the name of its file.
    """
    found: dict[str, str] = {}
    if len(front(points, "work")) > 1 or len(baseline):
        found[f"{stem}-front.png"] = f"The lowest {protocol.metric} at each number of evaluations"
        label = "network evaluations per image"
        _save(_front(points, protocol, floor, "work", label, baseline), folder / f"{stem}-front.png")
    if len(drop_lone_points(points)):
        found[f"{stem}-lines.png"] = f"{protocol.metric} against evaluations, by sampler"
        _save(_lines(points, protocol, floor), folder / f"{stem}-lines.png")
    return found


def front(points: DataFrame, cost: str) -> DataFrame:
    """Select the Pareto front: points with a lower distance than every cheaper point, in the order of their cost."""
    ordered = points.dropna(subset=[cost]).sort_values([cost, "distance"])
    return ordered[ordered["distance"] < ordered["distance"].cummin().shift(fill_value=math.inf)]


def _front(
    points: DataFrame, protocol: Protocol, floor: Floor | None, cost: str, label: str, baseline: Sequence[Point]
) -> Figure:
    """Plot the front and a baseline in colour and with names, and other points that are near the front faintly."""
    every = points.dropna(subset=[cost])
    best, asked = front(every, cost), every[every.index.isin(baseline)].sort_values(cost)
    points = _near(every, [*best["distance"], *([] if floor is None else [floor.mean])], asked)
    above = len(every) - len(points)
    note = f"; {above} of {len(every)} rows are above this frame" * bool(above)
    figure, (axes,) = _figure(1, protocol, (8.6, 5.0), note=note)
    axes.plot(points[cost], points["distance"], "o", color=BEHIND, markersize=4.5, zorder=1)
    for hue, own in ((HUES[0], best), (HUES[1], asked)):
        axes.plot(own[cost], own["distance"], color=hue, linewidth=1.4, zorder=2)
        _points(axes, own[cost], own, "distance", hue)
    _ground(axes, points, floor, label, _measure(protocol, points, floor))
    _cost_axis(axes, points["budget" if cost == "work" else cost], every=cost == "work")
    _lay_out(figure, axes.xaxis, axes.yaxis)
    named = best[~best.index.isin(baseline)]
    callouts = [
        Callout(f"{line}{role}", x, y, ink)
        for own, role, ink in ((named, "", INK), (asked[-1:], ", the baseline", HUES[1]))
        for (line, _), x, y in zip(own.index, own[cost], own["distance"], strict=True)
    ]
    strokes = [*_strokes(axes, best, cost), *_strokes(axes, asked, cost)]
    if floor is not None:
        edges = axes.get_xlim()
        callouts.append(Callout(REAL, edges[1], floor.mean, INK))
        strokes.append(np.array([(x, floor.mean) for x in edges]))
    marks = [
        own[[cost, field]] for own, fields in ((points, ["distance"]), (best, ENDS), (asked, ENDS)) for field in fields
    ]
    place(axes, callouts, np.concatenate(marks), strokes, PAPER)
    return figure


def _strokes(axes: Axes, points: DataFrame, cost: str) -> list[Places]:
    """Return the line through points, and a line for each of their intervals, cut at the lower edge of the axes.

    Each line is given by its corners (N, 2), in data coordinates.
    """
    bottom, ends = axes.get_ylim()[0], points[[cost, *ENDS]].to_numpy()
    return [
        points[[cost, "distance"]].to_numpy(), *(np.array([(x, max(low, bottom)), (x, high)]) for x, low, high in ends)
    ]  # fmt: skip


def _near(points: DataFrame, lowest: Sequence[float], asked: DataFrame) -> DataFrame:
    """Select the points that are not far above the front, or all points if those are few; see HEADROOM.

    Points that are left out are in the tables of the report.

    Args:
        lowest: distances of the front, and of real images.
        asked: points to select in any case.
    """
    highest = max([HEADROOM * max(lowest), *lowest, *asked["distance"]])
    near = points[points["distance"] <= highest]
    return near if len(near) >= LEAST_SHOWN * len(points) else points


def _lines(points: DataFrame, protocol: Protocol, floor: Floor | None) -> Figure:
    """Plot the lines of each sampler and guidance in a panel of their own, in front of the lines of all others."""
    families = _families(points)
    walks = [
        own.sort_values("work")[["work", "distance"]].to_numpy() for _, own in points.groupby("line", observed=True)
    ]
    behind = np.concatenate([np.append(walk, [[np.nan, np.nan]], axis=0) for walk in walks]).T  # one line with gaps
    figure, grid = _figure(len(families), protocol, (3.7, 2.8), shared=True, note=_dashed(floor))
    for axes, ((sampler, guidance), lines) in zip(grid, families.items(), strict=True):
        axes.plot(*behind, color=BEHIND, linewidth=0.8, zorder=1)
        title = f"{sampler}{f' with {guidance}' if guidance else ''}"
        for hue, line in zip(_cycle(len(lines)), lines, strict=True):
            own = points[points.index.get_level_values("line") == line].sort_values("work")
            name = plotted(line.removeprefix(sampler).strip(" ,"))
            axes.plot(
                own["work"], own["distance"], color=hue, linewidth=1.6, zorder=2, label=name or "_"
            )  # "_" keeps it out of the legend
            _points(axes, own["work"], own, "distance", hue)
        axes.set_title(plotted(title), fontsize=9.5, loc="left", color=INK)
        _ground(axes, points, floor, "", "")
        _cost_axis(axes, points["budget"], every=True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", frameon=False, fontsize=8, labelcolor="linecolor", handlelength=0, handletextpad=0)
    figure.supylabel(_measure(protocol, points, floor), fontsize=9.5, color=INK)
    figure.supxlabel("network evaluations per image", fontsize=9.5, color=INK)
    for axes in grid[-PANELS:]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    _lay_out(figure, grid[-1].xaxis, grid[0].yaxis)  # all panels share these two
    return figure


def _guidance(scales: Judge, floor: Floor | None) -> Figure:
    """Plot distance, accuracy, precision and recall against the guidance scale."""
    swept = drop_lone_points(scales.points)
    fields = {
        "distance": _scaled(f"{scales.protocol.metric}; lower is better", swept, floor),  # longer texts do not fit
        "metrics.label_accuracy": "label accuracy",
        "metrics.precision": "precision",
        "metrics.recall": "recall",
    }
    shown = {field: label for field, label in fields.items() if swept[field].notna().any()}
    figure, grid = _figure(len(shown), scales.protocol, (5.2, 3.6), columns=2, note=_dashed(floor))
    lines = swept.index.get_level_values("line").unique()
    for axes, (field, label) in zip(grid, shown.items(), strict=True):
        for hue, line in zip(_cycle(len(lines)), lines, strict=True):
            own = swept.xs(line, level="line").sort_index()
            axes.plot(own.index, own[field], color=hue, linewidth=1.6, label=plotted(line))
            _points(axes, own.index, own, field, hue, scales.protocol.images)
        _ground(axes, swept, floor if field == "distance" else None, "guidance scale", label, field)
    figure.legend(
        *grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9,
        labelcolor="linecolor",
    )  # fmt: skip
    _lay_out(figure, grid[0].yaxis)
    return figure


def _points(axes: Axes, x: Any, points: DataFrame, field: str, hue: Any, images: int | None = None) -> None:
    """Draw points, with 95% intervals where their errors are known. Those of shares need the number of images."""
    if field == "distance":
        error = np.stack([points["distance"] - points["low"], points["high"] - points["distance"]])
    elif field == "metrics.recall":
        error = NORMAL_95 * points["recall_error"].to_numpy()
    else:
        error = np.vectorize(margin)(points[field], points["seeds"] * (images or 0))
    axes.errorbar(
        x, points[field], np.nan_to_num(error), fmt="o", color=hue, markersize=4.5, markeredgecolor=PAPER,
        markeredgewidth=0.6, capsize=2.5, elinewidth=1, zorder=3,
    )  # fmt: skip


def _families(points: DataFrame) -> dict[tuple[str, str | None], list[str]]:
    """Group the lines by sampler and guidance."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for line, row in points["row"].groupby(level="line", observed=True).first().items():
        found.setdefault((row.recipe.sampler, row.recipe.guidance), []).append(line)
    return found


def _cycle(count: int) -> list[Any]:
    """Return the hues, and shades between them where there are more lines than hues."""
    if count <= len(HUES):
        return [*HUES[:count]]
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shades", HUES)
    return [shades(share) for share in np.linspace(0, 1, count)]


def _measure(protocol: Protocol, points: DataFrame, floor: Floor | None) -> str:
    """Write the label of an axis of distances."""
    text = f"Fréchet distance, {protocol.metric}; lower is better"
    if protocol.features == ERROR:
        text = "error of an image, root mean square in [-1, 1]; lower is better"
    return _scaled(text, points, floor)


def _scaled(text: str, points: DataFrame, floor: Floor | None) -> str:
    """Write the label of an axis of distances, and below it up to which distance a logarithmic axis is linear."""
    linear = _linear_below(points, floor)
    return plotted(text) + (f"\n(linear below {linear:g})" if linear else "")


def _figure(
    panels: int,
    protocol: Protocol,
    size: tuple[float, float],
    columns: int = PANELS,
    *,
    shared: bool = False,
    note: str = "",
) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure of panels, with axes of their own or `shared` ones.

    Args:
        size: width and height of a panel, in inches.
        columns: maximum number of panels side by side.
        note: end of the title.
    """
    from matplotlib.figure import Figure

    columns = min(panels, columns)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + 0.4), dpi=DPI, layout="constrained", facecolor=PAPER)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).ravel()
    for axes in grid[panels:]:
        axes.set_visible(False)
    reference = "their converged solutions" if protocol.features == ERROR else protocol.reference
    images = "exact" if protocol.images is None else f"{protocol.images:,} images against {reference}"
    figure.suptitle(plotted(f"{protocol.model}: {images}{note}"), x=0.012, ha="left", fontsize=11, color=INK)
    return figure, [*grid[:panels]]


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI)


def _ground(
    axes: Axes, points: DataFrame, floor: Floor | None, xlabel: str, ylabel: str, field: str = "distance"
) -> None:
    """Draw what lies behind the points: the real images with their interval, a grid, and labels."""
    if floor is not None:
        axes.axhline(floor.mean, color=INK, linestyle=(0, (5, 3)), linewidth=1, zorder=1)
        if not math.isnan(floor.error):
            half = NORMAL_95 * floor.error
            axes.axhspan(floor.mean - half, floor.mean + half, color=INK, alpha=0.07, linewidth=0, zorder=0)
    axes.set_xlabel(plotted(xlabel), color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    if field == "distance":
        _distance_axis(axes, points, floor)
    axes.set_facecolor(PAPER)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.tick_params(which="both", colors=INK, length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def _dashed(floor: Floor | None) -> str:
    """Say in a title what the dashed line of each panel is."""
    return "" if floor is None else f"; dashed: {REAL}"


def _distance_axis(axes: Axes, points: DataFrame, floor: Floor | None) -> None:
    """Make the axis of distances logarithmic if their range is wide, but linear below the size of intervals."""
    from matplotlib.ticker import SymmetricalLogLocator

    values = _distances(points, floor)
    linear = _linear_below(points, floor)
    if linear is None:
        return
    if linear:
        axes.set_yscale("symlog", linthresh=linear)
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=linear, subs=_subs(max(values) / linear)))
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        axes.set_yscale("log")
        axes.set_ylim(min(values) / 1.6, max(values) * 1.6)  # an interval may reach below 0
        _plain(axes.yaxis, max(values) / min(values))


def _linear_below(points: DataFrame, floor: Floor | None) -> float | None:
    """Return the distance above which the axis is logarithmic: 0 if all of it is, None if nothing is."""
    values = _distances(points, floor)
    half = float((points["high"] - points["low"]).fillna(0).median()) / 2
    if max(values) <= WIDE_RANGE * max(min(values), half) or not max(min(values), half) > 0:
        return None
    return 0.0 if min(values) > half else float(f"{half:.1g}")


def _distances(points: DataFrame, floor: Floor | None) -> list[float]:
    return [*points["distance"], *([] if floor is None else [floor.mean])]


def _cost_axis(axes: Axes, costs: Any, *, every: bool) -> None:
    """Make the axis of costs logarithmic, with plain numbers as ticks: `every` cost, or else round numbers."""
    axes.set_xscale("log")
    places = sorted(set(costs.dropna()))
    if every:
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
    else:
        _plain(axes.xaxis, places[-1] / places[0])


def _lay_out(figure: Figure, *axes: Axis) -> None:
    """Fix the layout of a figure, and label as many ticks of the axes as there is room for, round numbers first."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in axes:
        low, high = sorted(axis.get_view_interval())
        ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
        shown = {place: label for place, label in ticks if low <= place <= high}
        kept: list[Bbox] = []
        for label in sorted(shown.values(), key=lambda label: _roundness(label.get_text())):
            box = label.get_window_extent().padded(TICK_GAP)
            if box.count_overlaps(kept):
                label.set_text("")
            else:
                kept.append(box)
        if len(kept) < len(shown):
            axis.set_ticks([*shown], [label.get_text() for label in shown.values()])


def _roundness(number: str) -> tuple[int, int]:
    """Return a sort key that puts round numbers first: 10, 50, 20, others with a single digit, and then 15."""
    digits = number.replace(".", "").strip("0")
    return len(digits), "152".find(digits[:1]) % 4


def _subs(ratio: float) -> Sequence[int]:
    """Return the first digits of ticks, for a given ratio of the highest to the lowest value."""
    return (1, 2, 5) if ratio < 300 else (1, 3) if ratio < 3e4 else (1,)


def _plain(axis: Any, ratio: float) -> None:
    """Show 0.5, 1, 2 in place of powers of ten, if the ratio of highest to lowest value is not too large for it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis.set_major_locator(LogLocator(subs=_subs(ratio), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if ratio < 1e5:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
