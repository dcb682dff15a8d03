"""Readability of plots: names clear of points and of each other, ticks with room, axes with labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from synthetic import protocol, row, sure

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import Row
from samplerzoo.report import plots
from samplerzoo.report.decide import Judge, Point
from samplerzoo.report.series import Floor, along, average

Plot = Callable[..., dict[str, Axes]]


@pytest.fixture
def plot(monkeypatch: pytest.MonkeyPatch) -> Plot:
    """Plot rows against their cost, and return the first axes of each file, which is not written."""

    def draw(rows: Sequence[Row], floor: Floor | None = None, baseline: Sequence[Point] = ()) -> dict[str, Axes]:
        figures: dict[str, Figure] = {}
        monkeypatch.setattr(plots, "_save", lambda figure, path: figures.update({path.name: figure}))
        judge = Judge(protocol(), average(along(rows, "steps").assign(seconds=1.0)), Evidence())
        plots.save_plots(judge, None, floor, None, Path(), "x", baseline)
        return {name: figure.axes[0] for name, figure in figures.items()}

    return draw


def measured(steps: int, fd: float, error: float = 0.0, **options: Any) -> Row:
    return sure(row("dpm-solver++", steps, fd, options=options), error)


def lone(steps: int, fd: float, error: float = 0.0) -> Row:
    """Make the single row of a line: of these no plot by sampler is drawn, which takes time."""
    return measured(steps, fd, error, k=steps)


def crowd() -> list[Row]:
    """Make a front whose every point has a long name, with many points above it, at costs that lie close together."""
    front = [measured(10 + n, 1 / (1 + n), 0.05, solver_order=n, eta=0.5) for n in range(9)]
    above = [measured(10 + n, (1 + 0.4 * k) / (1 + n), 0.05, k=5 * n + k) for n in range(9) for k in range(1, 5)]
    return front + above


def written(axes: Axes) -> dict[str, Bbox]:
    """Return the boxes of the texts in axes."""
    return {text.get_text(): text.get_window_extent() for text in axes.texts if text.get_text()}


def ticks(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels() if label.get_text()]


def test_names_of_a_crowded_front_cover_no_point_and_no_other_name(plot: Plot) -> None:
    axes = plot(crowd(), Floor(0.2, 0.01), [("dpm-solver++ k 24", 14)])["x-front.png"]
    boxes = written(axes)
    assert len(boxes) == 11  # nine of the front, the baseline, and the real images
    places = [axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_marker() == "o"]
    places += [axes.transData.transform(each) for bars in axes.collections[:2] for each in bars.get_segments()]  # ends
    for text, box in boxes.items():
        assert box.count_overlaps([other for name, other in boxes.items() if name != text]) == 0, text
        assert all(axes.bbox.contains(*corner) for corner in box.corners()), text
        assert sum(box.count_contains(place) for place in places) == 0, text


def test_a_name_that_is_wider_than_the_plot_is_broken_into_lines(plot: Plot) -> None:
    short, long = ({f"a_rather_long_option_{n}": n * times for n in range(1, 9)} for times in (1, 1000))
    axes = plot([measured(10, 1.0, **short), measured(20, 0.5, **long)])["x-front.png"]
    for text, box in written(axes).items():
        assert text.count("\n") > 3
        assert all(axes.bbox.contains(*corner) for corner in box.corners())


def test_a_baseline_that_was_asked_for_is_drawn_and_named(plot: Plot) -> None:
    """Find its point, its interval and its name, though it is far above the front."""
    rows = [*(lone(steps, 1 / steps, 0.01) for steps in (5, 10, 20)), lone(1000, 9.0, 0.5)]
    asked = plot(rows, baseline=[("dpm-solver++ k 1000", 1000)])["x-front.png"]
    assert "dpm-solver++ k 1000, the baseline" in written(asked)
    ends = [end for bars in asked.collections for segment in bars.get_segments() for end in segment[:, 1]]
    assert max(ends) == pytest.approx(9 + 1.96 * 0.5, abs=1e-3)
    alone = plot(rows)["x-front.png"]
    assert "the baseline" not in " ".join(written(alone))
    assert alone.get_ylim()[1] < 9


def test_an_axis_says_where_it_is_linear(plot: Plot) -> None:
    near_zero = plot([lone(steps, fd, 0.05) for steps, fd in ((5, 0.9), (10, 0.5), (20, 0.01))])["x-front.png"]
    assert near_zero.get_yscale() == "symlog"
    assert near_zero.get_ylabel().endswith("lower is better\n(linear below 0.1)")
    far = plot([lone(steps, fd, 0.01) for steps, fd in ((5, 0.9), (10, 0.5), (20, 0.1))])["x-front.png"]
    assert far.get_yscale() == "log"
    assert "linear" not in far.get_ylabel()


def test_ticks_are_labelled_where_there_is_room_and_round_ones_first(plot: Plot) -> None:
    def labels(*steps: int) -> list[str]:
        return ticks(plot([lone(each, 1 / each) for each in steps])["x-front.png"])

    assert labels(5, 8, 10, 15, 20, 50, 1000) == ["5", "8", "10", "15", "20", "50", "1000"]
    assert labels(1, 10, 100, 800, 1000, 1200, 10_000) == ["1", "10", "100", "1000", "10000"]


def test_if_most_rows_are_far_above_the_front_all_are_plotted(plot: Plot) -> None:
    rows = [lone(10, 0.1), lone(15, 0.09), lone(20, 50.0), lone(40, 100.0), lone(50, 90.0)]
    assert plot(rows)["x-front.png"].lines[0].get_ydata().max() == 100.0
    rows += [lone(50, 0.2), lone(60, 0.3)]
    assert plot(rows)["x-front.png"].lines[0].get_ydata().max() == 0.3
