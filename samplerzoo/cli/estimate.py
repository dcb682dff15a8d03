"""Estimate of a benchmark, as `samplerzoo bench` prints it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from samplerzoo.cli.terminal import show

if TYPE_CHECKING:
    from samplerzoo.bench.estimate import Remaining
    from samplerzoo.core.cost import Cost

REPORT, REPORT_ROW = 4.0, 0.02
"""Seconds that a report takes, and seconds for each row in it, as measured on a slow core."""

BESIDE: dict[str, tuple[str, Callable[[Cost], float]]] = {
    "gradients": ("classifier gradients", lambda cost: cost.gradients_per_image),
    "second": ("evaluations of the second network", lambda cost: cost.second_nfe),
}
"""Costs of an image beside evaluations of the network, by title of the column: name in a sentence, and count."""


def say_estimate(work: Sequence[Remaining], every: bool, as_json: bool) -> None:
    """Print what is left to do: in all, and cell by cell if `every`."""
    done, images = sum(each.done for each in work), sum(each.images for each in work)
    report = REPORT + REPORT_ROW * len(work)  # written in any case
    least = report + sum(each.seconds for each in work)
    most = report + sum(each.seconds * each.slowness for each in work)
    if as_json:
        times = {"seconds": round(least, 1), "seconds_at_most": round(most, 1)}
        show(json.dumps({"cells": [*map(_facts, work)], **times}))
        return
    if every:
        _table(work)
    solutions = sum(each.cell.converges for each in work)
    cells = _counted(len(work) - solutions, "cell")
    named = f"{cells} and {_counted(solutions, 'converged solution')}" if solutions else cells
    evaluations = sum(each.evaluations for each in work), sum(each.evaluations * each.slowness for each in work)
    show(
        f"{named}, {done} of them done; {images:,} images and {_range('{:,.0f}'.format, *evaluations)} "
        f"network evaluations{_beside(work)} to make, about {_duration(least, most)}"
        + (": it depends on how soon solutions converge" if evaluations[0] != evaluations[1] else "")
    )


def _facts(each: Remaining) -> dict[str, Any]:
    """Return what is left of a cell, for JSON."""
    return {
        "cell": each.cell.name,
        "recipe": each.cell.recipe.model_dump(mode="json"),
        "images": each.cell.images,
        "done": each.done,
        "images_to_make": each.images,
        **each.cell.cost.per_image(),
        "seconds": round(each.seconds, 1),
        "seconds_at_most": round(each.seconds * each.slowness, 1),
    }


def _table(work: Sequence[Remaining]) -> None:
    """Print a line for each cell. Costs in `BESIDE` have a column if a cell has any."""
    from samplerzoo.bench.cell import cell_title

    beside = {title: count for title, (_, count) in BESIDE.items() if any(count(each.cell.cost) for each in work)}
    titles = "".join(f"{title:>{len(title) + 2}}" for title in beside)
    show(f"{'cell':18}{'to make':>9}{'of':>8}{'NFE':>7}{titles}{'time':>16}  what")
    for each in work:
        time = "done" if each.done else _duration(each.seconds, each.seconds * each.slowness)
        counts = "".join(f"{count(each.cell.cost):>{len(title) + 2}g}" for title, count in beside.items())
        numbers = f"{each.images:>9,}{each.cell.images:>8,}{each.cell.cost.nfe:>7g}{counts}{time:>16}"
        show(f"{each.cell.name:18}{numbers}  {cell_title(each.cell.recipe)}")


def _beside(work: Sequence[Remaining]) -> str:
    """Return the costs in `BESIDE` of all remaining work, as the end of a sentence."""
    said = ""
    for name, count in BESIDE.values():
        least = [each.images * each.effort[0] * count(each.cell.cost) for each in work]
        most = sum(each.slowness * number for each, number in zip(work, least, strict=True))
        if most:
            said += f", {_range('{:,.0f}'.format, sum(least), most)} {name}"
    return said


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _range(write: Callable[[float], str], least: float, most: float) -> str:
    """Format a range, or a single number if both ends look the same."""
    low, high = write(least), write(most)
    return low if low == high else f"{low} to {high}"


def _duration(least: float, most: float) -> str:
    return _range(_clock, least, most)


def _clock(seconds: float) -> str:
    """Format seconds as 1:02:03 or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
