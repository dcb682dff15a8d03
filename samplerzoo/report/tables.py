"""The tables of a report, as markdown, and all rows as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from samplerzoo import registry
from samplerzoo.bench.results import Row
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import ZooError
from samplerzoo.report.series import Axis, Estimate, Line, Point, Spread, number

DIGITS = 4
NEAR = 0.05
"""What is within 5% of the best is as good as the best."""

NOTHING = "–"
ETA = "sampler.eta"
IMPLICIT, ANCESTRAL = "ddim", "ddpm"
LARGE = {"sampler": ANCESTRAL, "sampler.variance": "large"}
"""The row that the DDIM paper calls sigma-hat."""


def markdown(head: Sequence[str], body: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table whose first columns are text, and the others numbers."""
    marks = [":--" if column < texts else "--:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in (head, marks, *body))


def escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def figure(value: float | None, digits: int = DIGITS) -> str:
    """With as many significant digits: 1.125, 45.31, 3.142e-07."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    decimals = _decimals(value, digits)
    return f"{value:.{digits - 1}e}" if decimals is None else f"{value:.{decimals}f}"


def _decimals(value: float, digits: int) -> int | None:
    """How many show so many significant digits; None where only an exponent does."""
    size = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return max(digits - 1 - size, 0) if -4 < size < 6 else None


def measured(found: Estimate | None) -> str:
    """`1.125 ± 0.012`: mean and standard deviation over seeds, where there are several."""
    if found is None:
        return NOTHING
    return figure(found.mean) if found.sd is None else within(found.mean, found.sd)


def within(mean: float, sd: float) -> str:
    """Both with the decimals of the mean."""
    decimals = _decimals(mean, DIGITS) if mean else None
    return f"{figure(mean)} ± {figure(sd, 2)}" if decimals is None else f"{mean:.{decimals}f} ± {sd:.{decimals}f}"


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2%}"


def places_of(lines: Iterable[Line], axis: Axis = "steps") -> list[float]:
    """The places on the axis where any line has a point."""
    return sorted({x for line in lines for point in line.points if (x := point.place(axis)) is not None})


def pivot(
    lines: Sequence[Line], spread: Spread, floor: Estimate | None = None, corner: str = "", axis: Axis = "steps"
) -> str:
    """Distance by line and place. Bold is the lowest of a column, with all that seeds do not tell from it."""
    columns = places_of(lines, axis)
    best = {x: min((p.fd for line in lines if (p := line.at(x, axis))), key=_mean) for x in columns}

    def cell(line: Line, x: float) -> str:
        point = line.at(x, axis)
        if point is None:
            return NOTHING
        lowest = len(lines) > 1 and not spread.tells(point.fd, best[x])
        return f"**{measured(point.fd)}**" if lowest else measured(point.fd)

    body = [[line.name, *(cell(line, x) for x in columns)] for line in lines]
    if floor is not None:
        body.append(["*real images*", *[f"*{measured(floor)}*"] * len(columns)])
    return markdown([corner, *map(number, columns)], body)


def _mean(found: Estimate) -> float:
    return found.mean


def eta_tables(lines: Sequence[Line], spread: Spread) -> dict[str, str]:
    """In the form of Table 1 of the DDIM paper, eta by steps, by title; the large variance of ddpm is its last row."""
    found = {}
    for etas in eta_families(line for line in lines if line.settings["sampler"] == IMPLICIT):
        largest = [line for line in lines if is_large(line) and rest(line) == rest(etas[0])]
        rows = [renamed(line, f"η = {line.settings[ETA]:g}") for line in etas]
        rows += [renamed(line, "σ̂ (`ddpm large`)") for line in largest]
        sampler, _, others = etas[0].name.partition(",")
        title = sampler.split()[0] + (f",{others}" if others else "")
        found[title] = pivot(rows, spread, None, "η \\ steps")
    return found


def eta_families(lines: Iterable[Line]) -> list[list[Line]]:
    """Lines that differ in their eta alone, two or more."""
    families: dict[str, list[Line]] = {}
    for line in lines:
        if ETA in line.settings:
            families.setdefault(line.without(ETA), []).append(line)
    return [family for family in families.values() if len(family) > 1]


def is_large(line: Line) -> bool:
    return all(line.settings.get(field) == value for field, value in LARGE.items())


def rest(line: Line) -> str:
    """All that is not the sampler's own."""
    return line.without(*(field for field in line.settings if field.startswith("sampler")))


def renamed(line: Line, name: str) -> Line:
    return Line(name, line.settings, line.points)


def near_to(found: Estimate, best: Estimate) -> bool:
    return found.mean <= best.mean + NEAR * abs(best.mean)


def near_table(lines: Sequence[Line]) -> str:
    """At how many steps each line comes within 5% of its own best."""
    body = []
    for line in lines:
        if len(line.points) > 1:
            best = min(line.points, key=lambda point: point.fd.mean)
            near = next(point for point in line.points if near_to(point.fd, best.fd))
            falling = near is line.points[-1]
            body.append([line.name, str(best.steps), f"≥ {near.steps}" if falling else str(near.steps)])
    return markdown(["", "lowest at steps", "within 5% of it from"], body) if body else ""


def order_table(lines: Sequence[Line]) -> str:
    """The order of convergence of each sampler, as it says and as it was measured."""
    body = []
    for line in lines:
        point = last_order(line)
        if point is not None:
            declared = declared_order(point)
            text = NOTHING if declared is None else str(declared)
            body.append([line.name, text, figure(point.mean("metrics.order"), 3)])
    return markdown(["", "declared order", "measured order"], body) if body else ""


def last_order(line: Line) -> Point | None:
    """The point with the most steps that has an order."""
    return next((point for point in reversed(line.points) if point.mean("metrics.order") is not None), None)


def declared_order(point: Point) -> int | None:
    """What the sampler says of itself; None where its plugin is not there to be asked."""
    recipe = point.rows[0].recipe
    try:
        sampler = registry.make("sampler", recipe.sampler, recipe.sampler_options)
    except ZooError:
        return None
    assert isinstance(sampler, Sampler)
    return sampler.order


Column = tuple[str, Callable[[Point], str]]


def full(lines: Sequence[Line], metric: str) -> str:
    """All figures of the rows of one protocol; what no row has gets no column, nor what says nothing new."""
    points = [point for line in lines for point in line.points]
    columns: list[Column] = [("steps", lambda p: str(p.steps))]
    if any(len(point.every) > 1 for point in points):
        columns.append(("seeds", lambda p: str(len(p.every))))
    columns.append((f"`{metric}`", lambda p: measured(p.fd)))
    columns += [column for field, column in _optional().items() if any(p.mean(field) is not None for p in points)]
    columns.append(("NFE", lambda p: f"{p.nfe:g}"))
    if any(p.mean("cost.network_calls") != p.nfe for p in points):
        columns.append(("network calls", lambda p: f"{p.mean('cost.network_calls'):g}"))
    if any(p.mean("cost.classifier_gradients") for p in points):
        columns.append(("classifier gradients", lambda p: f"{p.mean('cost.classifier_gradients'):g}"))
    if any(p.mean("cost.second_nfe") for p in points):
        columns.append(("NFE of the second network", lambda p: f"{p.mean('cost.second_nfe'):g}"))
    columns += [column for field, column in _timed().items() if any(p.mean(field) is not None for p in points)]
    body = [[line.name, *(show(p) for _, show in columns)] for line in lines for p in line.points]
    return markdown(["", *(head for head, _ in columns)], body)


def _optional() -> dict[str, Column]:
    return {
        "metrics.floor": ("real images", lambda p: figure(p.mean("metrics.floor"))),
        "metrics.kid": ("KID ± sd of its subsets", _kid),
        "metrics.precision": ("precision", lambda p: figure(p.mean("metrics.precision"), 3)),
        "metrics.recall": ("recall", lambda p: figure(p.mean("metrics.recall"), 3)),
        "metrics.label_accuracy": ("label accuracy", lambda p: percent(p.mean("metrics.label_accuracy"))),
        "clipped": ("clipped", lambda p: percent(p.mean("clipped"))),
    }


def _kid(point: Point) -> str:
    mean, sd = point.mean("metrics.kid"), point.mean("metrics.kid_sd")
    return figure(mean) if mean is None or sd is None else within(mean, sd)


def _timed() -> dict[str, Column]:
    return {
        "speed.images_per_second": ("images/s", lambda p: figure(p.mean("speed.images_per_second"), 3)),
        "speed.peak_memory": ("peak memory, MiB", lambda p: _mebibytes(p.mean("speed.peak_memory"))),
    }


def _mebibytes(value: float | None) -> str:
    return NOTHING if value is None else f"{value / 2**20:,.0f}"


def as_csv(rows: Iterable[Row]) -> str:
    """A line a row and a column a field, with all digits; a list is JSON."""
    flat = [_flat(row.model_dump(mode="json")) for row in rows]
    columns = dict.fromkeys(name for line in flat for name in line)
    file = io.StringIO()
    writer = csv.DictWriter(file, [*columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return found
