"""Callouts of a plot: texts that name single points, placed where they cover as little as possible."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplerzoo.trust.markup import plotted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Places = NDArray[np.float64]
"""Places (N, 2): x and y of each."""

LINE_WIDTH = 44
"""Maximum number of characters in a line of a callout."""

REACHES = (5, 9, 16, 25, 36, 49, 64, 81, 100, 130, 160)
"""Gaps to try between a point and its callout, in units of 1/72 inch."""

ON_MARK, ON_DASH = 1000.0, 4.0
"""Cost of covering a mark or another callout, and of covering a dash of a line. A gap costs 1 for each 1/72 inch."""

FAR = 14
"""Gap above which a thin line connects a callout with its point, in units of 1/72 inch."""

DASH = 8.0
"""Length in pixels of the dashes into which lines are divided, to count how much of a line is covered."""


class Callout(NamedTuple):
    """Text about the point at x and y, in data coordinates, and its colour."""

    text: str
    x: float
    y: float
    ink: str


def place(axes: Axes, callouts: Sequence[Callout], marks: Places, lines: Sequence[Places], paper: str) -> None:
    """Write callouts inside axes that are laid out already, clear of marks and of each other if there is room.

    Each callout takes the place around its point, near or far, that has the lowest cost; see ON_MARK.

    Args:
        marks: points (N, 2) that callouts should not cover.
        lines: corners (N, 2) of each line that callouts should not cover, if clearing the marks leaves a choice.
        paper: background colour.
    """
    from matplotlib.transforms import Bbox

    pixel = axes.figure.dpi / 72
    low, high = (np.array(corner) for corner in (axes.bbox.padded(-3 * pixel).min, axes.bbox.padded(-3 * pixel).max))
    spots = axes.transData.transform(marks)
    dashes = np.concatenate([np.zeros((0, 2)), *(_dashes(axes.transData.transform(line)) for line in lines)])
    taken: list[Bbox] = []
    for callout in callouts:
        text = axes.annotate(
            "\n".join(map(plotted, textwrap.wrap(callout.text, LINE_WIDTH))), (callout.x, callout.y), xytext=(0, 0),
            textcoords="offset points", ha="center", va="center", fontsize=8.5, color=callout.ink, zorder=4,
            bbox={"facecolor": paper, "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
        at = axes.transData.transform((callout.x, callout.y))
        half = np.array(text.get_window_extent().size) / 2
        best, least = Bbox([at, at]), math.inf
        for reach, side, up in itertools.product(REACHES, (1, -1, 0), (1, -1, 0)):
            centre = np.maximum(np.minimum(at + np.array([side, up]) * (half + reach * pixel), high - half), low + half)
            box = Bbox([centre - half, centre + half])
            leader = _dashes(np.array([at, np.clip(at, box.min, box.max)]))
            covered = box.padded(2 * pixel).count_overlaps(taken) + box.padded(4 * pixel).count_contains(spots)
            covered += sum(other.count_contains(leader) > 0 for other in taken)
            cost = reach + ON_MARK * covered + ON_DASH * box.padded(pixel).count_contains(dashes)
            if cost < least:
                best, least = box, cost
        text.set_position((np.array([best.min, best.max]).mean(axis=0) - at) / pixel)
        taken.append(best)
        nearest = np.clip(at, best.min, best.max)
        if math.dist(at, nearest) > FAR * pixel:
            dashes = np.concatenate([dashes, _dashes(np.array([at, nearest]))])
            axes.annotate(
                "", (callout.x, callout.y), xytext=(nearest - at) / pixel, textcoords="offset points", zorder=4,
                arrowprops={"arrowstyle": "-", "color": callout.ink, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
            )  # fmt: skip


def _dashes(line: Any) -> Places:
    """Divide a line (N, 2) in pixels into dashes, and return where each begins."""
    parts = [
        np.linspace(start, end, 1 + int(math.dist(start, end) / DASH), endpoint=False)
        for start, end in itertools.pairwise(line)
        if np.isfinite([start, end]).all()
    ]
    return np.concatenate([np.zeros((0, 2)), *parts])
