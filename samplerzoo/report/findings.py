"""Findings in words: sentences that a reader decides by. Each is worked out from the rows, and holds for them alone."""

from __future__ import annotations

from collections.abc import Sequence

from pandas import DataFrame, Series

from samplerzoo.markup import plain
from samplerzoo.report.series import FD, SEED, TELLING, Floor, Spread, common_seeds, near_to
from samplerzoo.report.tables import figure, measured, orders

MOST_NAMES = 5


def findings(rows: DataFrame, points: DataFrame, spread: Spread, floor: Floor | None) -> list[str]:
    """Say what the rows of one protocol decide, in a few sentences."""
    found = [_chance(rows, spread), _lowest(points, spread, floor), _fewest(points), _convergence(points)]
    return [text for text in found if text]


def _chance(rows: DataFrame, spread: Spread) -> str:
    """Say which differences seeds explain."""
    if spread.alone is None or spread.ratio is None:
        return "Every row has one seed, so it is not known how far chance moves a distance. Trust no small difference."
    if not spread.points:
        return ""
    text = (
        f"Another seed moves a distance by {spread.alone:.1%}, and the ratio of two distances under one seed by "
        f"{spread.ratio:.1%} (standard deviations; rows with several seeds: {spread.points}). Distances that differ by "
        f"less than {TELLING:g} standard errors of that ratio are called equal."
    )
    common = sorted(common_seeds(rows))
    if not common:
        return f"{text} No seed is common to all rows: each figure is over the seeds of its own row."
    if rows[SEED].isin(common).all():
        return text
    seeds = f"seed{'s' * (len(common) > 1)} {_listed([*map(str, common)])}"
    return f"{text} All figures are of {seeds}, which every row has; ± is the deviation over all seeds of a row."


def _lowest(points: DataFrame, spread: Spread, floor: Floor | None) -> str:
    """Name the lowest distance, the rows that are equal to it, and the cheapest that comes near it."""
    if len(points) < 2:
        return ""
    best = points.loc[points[FD].idxmin()]
    text = f"The lowest distance is that of {_named(best)}."
    if floor is not None:
        text += f" As many real images have {measured(*floor)}."
    ties = points[~spread.tells(points, best)].drop(best.name).sort_values(["work", FD])
    if len(ties):
        more = [f"{len(ties) - MOST_NAMES} others"] if len(ties) > MOST_NAMES else []
        names = [_named(point) for _, point in ties.head(MOST_NAMES).iterrows()]
        text += f" Equal to it, cheapest first: {_listed([*names, *more])}."
    cheapest = _cheapest_near(points, best)
    return text if cheapest is None else f"{text} The cheapest within 5% of it is {_named(cheapest)}."


def _fewest(points: DataFrame) -> str:
    """Say how few evaluations do as well as the row with the most steps, if that is not the lowest of all."""
    steps = points.index.get_level_values("place")
    goal = points.loc[points[steps == steps.max()][FD].idxmin()]
    if goal[FD] <= points[FD].min():
        return ""
    found = _cheapest_near(points, goal)
    if found is None:
        return f"No row with fewer evaluations comes within 5% of {_named(goal)}."
    return (
        f"The fewest evaluations within 5% of {_named(goal)}, or below it, are {found['work']:g}, of {_named(found)}."
    )


def _cheapest_near(points: DataFrame, goal: Series) -> Series | None:
    """Find the cheapest point within 5% of the goal that is cheaper than the goal."""
    near = points[near_to(points, goal[FD]) & (points["work"] < goal["work"])]
    return near.sort_values(["work", FD]).iloc[0] if len(near) else None


def _convergence(points: DataFrame) -> str:
    """Name the samplers that converge with a lower order than they declare."""
    found = orders(points).dropna()
    if found.empty:
        return ""
    from samplerzoo.testing.convergence import TOLERANCE  # imports torch

    behind = found[found["measured"] < found["declared"] - TOLERANCE]
    if behind.empty:
        return f"All samplers converge with the order that they declare, or better (to within {TOLERANCE:g})."
    named = [
        f"{plain(line)} declares {declared:g} and has {figure(real, 3)}" for line, declared, real in behind.itertuples()
    ]
    return f"Of {len(found)} samplers, not all converge with the order that they declare: {'; '.join(named)}."


def _named(point: Series) -> str:
    line, steps = point.name
    return f"{plain(line)} at {steps:,g} step{'' if steps == 1 else 's'} ({figure(point[FD])})"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
