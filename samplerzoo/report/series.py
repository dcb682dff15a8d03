"""Points and lines of a report: rows that differ in their seed alone make a point, points along an axis make a line.

A table of rows has one row per result. A table of points has one row per line and place: averages over seeds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series

from samplerzoo.bench.machine import Machine
from samplerzoo.bench.results import EXACT, Protocol, Row, tabulate
from samplerzoo.report.line_names import Axis, name_lines

PLACES: dict[Axis, str] = {"steps": "recipe.steps", "scale": "recipe.guidance_options.scale"}
"""Column that holds the place on each axis."""

POINT = ["line", "place"]
FD, SEED = "metrics.fd", "recipe.seed"
FIELDS = [
    *(FD, "metrics.floor", "metrics.kid", "metrics.kid_sd", "metrics.precision", "metrics.recall"),
    *("metrics.label_accuracy", "metrics.order", "clipped", "cost.nfe", "cost.network_calls"),
    *("cost.classifier_gradients", "cost.second_nfe", "speed.images_per_second", "speed.peak_memory", "seconds"),
]
"""Columns that are averaged over seeds."""

TELLING = 2.0
"""Standard errors by which two means must differ to be told apart."""

NEAR = 0.05
"""Relative distance from a goal within which a row counts as reaching it."""


class Floor(NamedTuple):
    """Distance that as many real images have: mean and standard deviation over seeds (NaN of one seed)."""

    mean: float
    sd: float


def along(rows: Sequence[Row], axis: Axis) -> DataFrame:
    """Tabulate the rows that have a place on the axis, named by what sets them apart from all others.

    Returns:
        The columns of `samplerzoo.bench.frame`, and: `row`, the Row; `line`, an ordered category; `place`, a number.
    """
    table = tabulate(rows)
    numbers = table.reindex(columns=FIELDS).astype(float)
    table = table.drop(columns=FIELDS, errors="ignore").join(numbers)
    table = table.assign(
        row=Series([*rows], dtype=object),
        line=name_lines([row.recipe for row in rows], axis),
        place=table.get(PLACES[axis], math.nan),
    )
    return table[table["place"].notna()]


def by_protocol(rows: DataFrame) -> dict[Protocol, DataFrame]:
    """Split rows into those that may stand in one table, in the order they come."""
    protocols = [row.protocol for row in rows["row"]]
    return {each: rows[[protocol == each for protocol in protocols]] for each in dict.fromkeys(protocols)}


def average(rows: DataFrame, by: Sequence[str] = POINT) -> DataFrame:
    """Average rows over their seeds, in groups: by default the points of the lines.

    Means are over the seeds that all groups have, since a seed's noise and labels move all groups alike. Where no seed
    is common to all, they are over every seed.

    Returns:
        FIELDS (means); `FIELD sd` (standard deviation over every seed of the group, NaN of one); `compared` and `seeds`
        (number of seeds averaged, and of all); `work` (network evaluations an image, those of a second network and
        gradients of a classifier included); `row` (the first Row).
    """
    seeds = common_seeds(rows, by)
    groups = rows.groupby([*by], observed=True)
    compared = rows[rows[SEED].isin(seeds)].groupby([*by], observed=True) if seeds else groups
    means = compared[FIELDS].mean()
    return means.join(groups[FIELDS].std().add_suffix(" sd")).assign(
        compared=compared.size(),
        seeds=groups.size(),
        work=means["cost.nfe"] + means["cost.classifier_gradients"] + means["cost.second_nfe"],
        row=compared["row"].first(),
    )


def common_seeds(rows: DataFrame, by: Sequence[str] = POINT) -> set[int]:
    """Find the seeds that every group has a row of."""
    groups = rows.groupby([*by], observed=True)[SEED].agg(set)
    return set.intersection(*groups) if len(groups) else set()


def drop_lone_points(points: DataFrame) -> DataFrame:
    """Drop the lines that have a single point."""
    return points[points.groupby(level="line", observed=True)[FD].transform("size") > 1]


def near_to(points: DataFrame, goal: float) -> Series:
    """Mark the points whose distance is at most 5% above the goal."""
    return points[FD] <= goal + NEAR * abs(goal)


@dataclass(frozen=True)
class Spread:
    """Spread of distances over seeds.

    Attributes:
        alone: relative standard deviation of a distance over seeds, pooled over all points with several seeds.
        ratio: relative standard deviation of the ratio of two points' distances under one seed. It decides whether two
            points differ, since a seed moves both alike. 0 of exact figures, None if every point has one seed.
        points: number of points that have several seeds.
    """

    alone: float | None
    ratio: float | None
    points: int = 0

    @classmethod
    def of(cls, rows: DataFrame) -> Spread:
        """Measure it on the rows of one protocol."""
        if (rows["protocol.features"] == EXACT).all():
            return cls(0.0, 0.0)
        distances = rows.pivot_table(FD, POINT, SEED, observed=True)
        logs = np.log(distances.where(distances > 0)).to_numpy()  # their differences are relative ones
        logs = logs[np.isfinite(logs).sum(axis=1) > 1]
        alone = _pooled(logs)
        if alone is None:
            return cls(None, None)
        one, other = np.triu_indices(len(logs), 1)
        ratio = _pooled(logs[one] - logs[other])
        return cls(alone, math.sqrt(2) * alone if ratio is None else ratio, len(logs))

    def tells(self, points: DataFrame, other: Series) -> Series:
        """Mark the points whose distance differs from that of another point by more than seeds explain.

        If that is not known, every difference counts.
        """
        positive = (points[FD] > 0) & (other[FD] > 0)
        error = (self.ratio or 0.0) / points["compared"].clip(upper=other["compared"]) ** 0.5
        apart = np.log((points[FD] / other[FD]).where(positive)).abs() > TELLING * error
        return apart.where(positive, points[FD] != other[FD])


def _pooled(groups: NDArray[np.float64]) -> float | None:
    """Pool the standard deviations within groups (rows) that hold two numbers or more. NaN is no number."""
    counts = np.isfinite(groups).sum(axis=1)
    groups, counts = groups[counts > 1], counts[counts > 1]
    if not len(groups):
        return None
    residuals = groups - np.nanmean(groups, axis=1, keepdims=True)
    return math.sqrt(np.nansum(residuals**2) / (counts - 1).sum())


def with_seconds(rows: DataFrame) -> tuple[DataFrame, Machine | None]:
    """Add a column `seconds` (per image, of one process) for the rows of the machine that most were timed on.

    Times on two machines cannot be compared, so the others have none. Returns the machine, too, if there is any.
    """
    speeds = [row.speed for row in rows["row"]]
    machines = Counter(speed.machine for speed in speeds if speed is not None)
    machine = max(machines, key=lambda each: machines[each], default=None)
    seconds = [
        math.nan if speed is None or speed.machine != machine else 1 / speed.images_per_second for speed in speeds
    ]
    return rows.assign(seconds=seconds), machine
