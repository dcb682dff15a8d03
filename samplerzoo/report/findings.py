"""What the figures say, in words: every sentence is worked out from the rows, and holds for them alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Literal, NamedTuple

from samplerzoo.report.series import TELLING, Estimate, Line, Point, Spread, number
from samplerzoo.report.tables import (
    ANCESTRAL,
    ETA,
    declared_order,
    eta_families,
    figure,
    is_large,
    last_order,
    measured,
    near_to,
    places_of,
    rest,
)

MOST_TIES = 6


class Named(NamedTuple):
    """A distance and what to call it."""

    name: str
    fd: Estimate

    def __str__(self) -> str:
        return f"{self.name} ({figure(self.fd.mean)})"


def about(lines: Sequence[Line], sweeps: Sequence[Line], spread: Spread, floor: Estimate | None) -> list[str]:
    """Sentences on the rows of one protocol."""
    return [
        *seeds(lines, spread),
        *best(lines, spread, floor),
        *fewest(lines),
        *eta(lines, spread),
        *large(lines, spread),
        *guidance(sweeps, spread),
        *order(lines),
    ]


def seeds(lines: Sequence[Line], spread: Spread) -> list[str]:
    """What counts as a difference."""
    if spread.alone is None or spread.ratio is None:
        return ["Every row has one seed, so the spread over seeds is not known: small differences may be chance."]
    if not spread.points:
        return []
    rows = f"{spread.points} rows with several seeds" if spread.points > 1 else "the row with several seeds"
    text = (
        f"Another seed moves a distance by {spread.alone:.1%} (standard deviation, from {rows}), and the ratio of two "
        f"distances under one seed by {spread.ratio:.1%}. Two are called equal here if they differ by less than "
        f"{TELLING:g} standard errors of that ratio."
    )
    points = [point for line in lines for point in line.points]
    if any(point.more for point in points):
        common = sorted({row.recipe.seed for row in points[0].rows})
        which = f"seed{'s' * (len(common) > 1)} {_listed([str(seed) for seed in common])}"
        text += (
            f" All figures are of {which}, which every row has: the same noise, and the same labels. What stands "
            "behind ± is the standard deviation over all seeds of a row."
        )
    return [text]


def best(lines: Sequence[Line], spread: Spread, floor: Estimate | None) -> list[str]:
    """The lowest of all, and the cheapest that is within 5% of it."""
    points = {f"{line.name} at {_count(point.steps)}": point for line in lines for point in line.points}
    if len(points) < 2:
        return []
    named = [Named(name, point.fd) for name, point in points.items()]
    first = min(named, key=_mean)
    text = f"The lowest distance is {figure(first.fd.mean)}, of {first.name}"
    text += "." if floor is None else f"; as many real images have {measured(floor)}."
    ties = [str(other) for other in named if other is not first and not spread.tells(other.fd, first.fd)]
    if len(ties) > MOST_TIES:
        ties = [*ties[: MOST_TIES - 1], f"{len(ties) - MOST_TIES + 1} others"]
    if ties:
        text += f" Equal to it: {_listed(ties)}."
    near = [other for other in named if near_to(other.fd, first.fd)]
    cheapest = min(near, key=lambda other: (points[other.name].work, other.fd.mean))
    if points[cheapest.name].work < points[first.name].work:
        text += f" The cheapest within 5% of it is {cheapest}."
    return [text]


def fewest(lines: Sequence[Line]) -> list[str]:
    """How few evaluations reach what ancestral sampling does with the most steps of all, the question of the field."""
    points = [(line, point) for line in lines for point in line.points]
    most = max((point.steps for _, point in points), default=0)
    whole = [Named(f"{line.name} at {_count(most)}", point.fd) for line, point in points
             if line.settings["sampler"] == ANCESTRAL and point.steps == most]  # fmt: skip
    others = [(line, point) for line, point in points if point.steps < most]
    if not whole or not others:
        return []
    goal = min(whole, key=_mean)
    near = [(line, point) for line, point in others if near_to(point.fd, goal.fd)]
    if not near:
        return [f"With fewer steps none is within 5% of {goal}."]
    line, point = min(near, key=lambda found: (found[1].work, found[1].fd.mean))
    found = Named(f"{line.name} at {_count(point.steps)}", point.fd)
    return [f"The fewest evaluations within 5% of {goal}, or below it, are {number(point.work)}, of {found}."]


class Trend(NamedTuple):
    kind: Literal["rises", "rises in all", "flat", "falls"]
    why: str = ""


def eta(lines: Sequence[Line], spread: Spread) -> list[str]:
    """Whether the distance rises with eta at every number of steps, as in the DDIM paper."""
    sentences = []
    for family in eta_families(lines):
        columns = {}
        for steps in places_of(family):
            found = [Named(f"η = {number(line.settings[ETA])}", p.fd) for line in family if (p := line.at(steps))]
            if len(found) > 1:
                columns[steps] = found
        if columns:
            sentences.append(f"{_family(family)}: {_rising(columns, spread)}{_gap(columns, spread)}")
    return sentences


def _rising(columns: dict[float, list[Named]], spread: Spread) -> str:
    trends = {steps: _trend(found, spread) for steps, found in columns.items()}
    rising = [steps for steps, trend in trends.items() if trend.kind in ("rises", "rises in all")]
    exceptions = [f"at {_count(steps)} {trend.why}" for steps, trend in trends.items() if trend.why]
    if len(rising) == len(trends):
        where = f"at every step count ({_numbers(rising)})" if len(rising) > 1 else f"at {_count(rising[0])}"
        return f"the distance rises with η {where}" + (f", though {_listed(exceptions)}." if exceptions else ".")
    where = f" It does at {_numbers(rising)}." if rising else ""
    return f"the distance does not rise with η at every step count: {'; '.join(exceptions)}.{where}"


def _trend(found: Sequence[Named], spread: Spread) -> Trend:
    """Of distances in the order of eta."""
    falls = [(a, b) for a, b in combinations(found, 2) if b.fd.mean < a.fd.mean and spread.tells(a.fd, b.fd)]
    if falls:
        high, low = max(falls, key=lambda pair: pair[0].fd.mean / pair[1].fd.mean)
        return Trend("falls", f"{low} is below {high}")
    if not spread.tells(found[0].fd, found[-1].fd):
        return Trend("flat", f"{found[0]} and {found[-1]} are equal")
    equal = [f"{a} equals {b}" for a, b in pairwise(found) if not spread.tells(a.fd, b.fd)]
    return Trend("rises in all", _listed(equal)) if equal else Trend("rises")


def _gap(columns: dict[float, list[Named]], spread: Spread) -> str:
    """Whether the gap between the two ends closes with more steps."""
    few, many = min(columns), max(columns)
    ends = [(columns[steps][0], columns[steps][-1]) for steps in (few, many)]
    names = {(low.name, high.name) for low, high in ends}
    if few == many or len(names) > 1 or any(low.fd.mean <= 0 for low, _ in ends):
        return ""
    if not any(spread.tells(low.fd, high.fd) for low, high in ends):
        return ""
    (start, end), = names  # fmt: skip
    factors = [high.fd.mean / low.fd.mean for low, high in ends]
    return (
        f" At {end} it is {figure(factors[0], 3)} times that at {start} with {_count(few)}, "
        f"and {figure(factors[1], 3)} times with {many:,g}."
    )


def large(lines: Sequence[Line], spread: Spread) -> list[str]:
    """Where the large variance of ddpm stands among all others, at each number of steps."""
    sentences = []
    for line in filter(is_large, lines):
        field = [other for other in lines if rest(other) == rest(line)]
        tables: dict[float, list[Named]] = {
            point.steps: sorted((Named(other.name, p.fd) for other in field if (p := other.at(point.steps))),
                                key=_mean)
            for point in line.points
        }  # fmt: skip
        tables = {steps: table for steps, table in tables.items() if len(table) > 1}
        if tables:
            places = [f"with {_count(steps)} it is {_place(line, tables[steps], spread)}" for steps in _ends(tables)]
            sentences.append(f"{line.name}: {'; '.join(places)}.{_worst(line, tables, spread)}")
    return sentences


def _ends(tables: dict[float, list[Named]]) -> list[float]:
    return sorted({min(tables), max(tables)})


def _place(line: Line, table: Sequence[Named], spread: Spread) -> str:
    """`the highest of 9 (45.31), 12.4 times the lowest, ddim eta 0 (3.654)`."""
    place = [found.name for found in table].index(line.name)
    own, lowest, second = figure(table[place].fd.mean), table[0], table[1]
    if not place:
        equal = "" if spread.tells(lowest.fd, second.fd) else ", which is equal"
        return f"the lowest of {len(table)} ({own}), before {second}{equal}"
    if not spread.tells(table[place].fd, lowest.fd):
        return f"equal ({own}) to the lowest of {len(table)}, {lowest}"
    rank = "the highest" if place == len(table) - 1 else f"number {place + 1}"
    factor = table[place].fd.mean / lowest.fd.mean if lowest.fd.mean > 0 else None
    return f"{rank} of {len(table)} ({own}), {figure(factor, 3)} times the lowest, {lowest}"


def _worst(line: Line, tables: dict[float, list[Named]], spread: Spread) -> str:
    if len(tables) < 2:
        return ""
    worst = [steps for steps, (first, *_, last) in tables.items()
             if last.name == line.name and spread.tells(first.fd, last.fd)]  # fmt: skip
    where = "at every step count" if len(worst) == len(tables) else f"at {_numbers(worst)}" if worst else "nowhere"
    return f" It is the highest {where} ({_numbers([*tables])} were measured)."


def guidance(sweeps: Sequence[Line], spread: Spread) -> list[str]:
    """The best scale, and what the ends of the range do to accuracy, precision and recall."""
    sentences = []
    for line in sweeps:
        if len(line.points) < 2:
            continue
        low = min(line.points, key=lambda point: point.fd.mean)
        ties = [_scale(p) for p in line.points if p is not low and not spread.tells(p.fd, low.fd)]
        text = f"{line.name}: the distance is lowest at scale {_scale(low)} ({figure(low.fd.mean)}"
        text += f", equal at {_listed(ties)})" if ties else ")"
        first, last = line.points[0], line.points[-1]
        others = [_moves(name, first, last) for name in ("label_accuracy", "precision", "recall")]
        sentences.append(f"{text}. From scale {_scale(first)} to {_scale(last)} " + _listed([
            f"it goes from {figure(first.fd.mean)} to {figure(last.fd.mean)}", *filter(None, others),
        ]) + ".")  # fmt: skip
    return sentences


def _moves(name: str, first: Point, last: Point) -> str:
    start, end = (point.mean(f"metrics.{name}") for point in (first, last))
    if start is None or end is None:
        return ""
    show = "{:.2%}".format if name == "label_accuracy" else "{:.3f}".format
    name = name.replace("_", " ")
    if start == end:
        return f"{name} stays at {show(end)}"
    return f"{name} {'rises' if end > start else 'falls'} from {show(start)} to {show(end)}"


def order(lines: Sequence[Line]) -> list[str]:
    """Whether the samplers converge as they say; a better order than declared is none to complain of."""
    from samplerzoo.testing.convergence import TOLERANCE

    found = [(line.name, declared_order(point), point.mean("metrics.order") or 0.0)
             for line in lines if (point := last_order(line)) is not None]  # fmt: skip
    known = [(name, declared, value) for name, declared, value in found if declared is not None]
    if not known:
        return []
    behind = [f"{name} declares {declared} and has {figure(value, 3)}" for name, declared, value in known
              if value < declared - TOLERANCE]  # fmt: skip
    if behind:
        return [f"Of {len(known)} samplers, not all converge with the order that they declare: {'; '.join(behind)}."]
    return [f"All of them converge with the order that they declare, or better (to within {TOLERANCE:g})."]


def _mean(found: Named) -> float:
    return found.fd.mean


def _family(lines: Sequence[Line]) -> str:
    """The name without the eta."""
    return lines[0].name.replace(f" eta {number(lines[0].settings[ETA])}", "")


def _scale(point: Point) -> str:
    return number(point.scale or 0.0)


def _count(steps: float) -> str:
    return f"{steps:,g} steps" if steps > 1 else "1 step"


def _numbers(values: Sequence[float]) -> str:
    return _listed([f"{value:,g}" for value in values])


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
