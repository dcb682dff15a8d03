"""Points and lines of a report: rows that differ in their seed alone make a point, points along an axis make a line.

A table of rows has one row per result. A table of points has one row per line and place, averaged over seeds.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pandas import DataFrame, Series
from pandas.api.typing import DataFrameGroupBy

from samplerzoo.bench.machine import Machine
from samplerzoo.bench.results import EXACT, Protocol, Row, tabulate
from samplerzoo.metrics.influence import NORMAL_95
from samplerzoo.report.line_names import Axis, name_lines

PLACES: dict[Axis, str] = {"steps": "recipe.steps", "scale": "recipe.guidance_options.scale"}
"""Column that holds the place on each axis."""

POINT = ["line", "place"]
FD, SEED = "metrics.fd", "recipe.seed"
FIELDS = [
    *(FD, "metrics.fd_jackknifed", "metrics.fd_se", "metrics.fd_infinity", "metrics.floor", "metrics.floor_jackknifed"),
    *("metrics.floor_se", "metrics.kid", "metrics.kid_se", "metrics.precision", "metrics.recall", "metrics.recall_se"),
    *("metrics.label_accuracy", "metrics.order", "clipped", "cost.nfe", "cost.network_calls"),
    *("cost.classifier_gradients", "cost.second_nfe", "speed.images_per_second", "speed.peak_memory", "seconds"),
]
"""Columns that are averaged over seeds."""

ALONGSIDE = 0.85
"""Least share of a column's number of evaluations that a row needs to stand in that column; see `budgets`."""


STEADY = 1.5
"""Highest ratio of the seconds per evaluation of two rows of a line, on a machine that does nothing else."""


class Floor(NamedTuple):
    """Distance of real images to the reference: mean over seeds, and standard error (NaN if it is not known)."""

    mean: float
    error: float


def floor_of(rows: DataFrame) -> Floor | None:
    """Return the distance of real images in the rows of one protocol; None if they have none.

    All rows choose their real images from the same set, so more seeds add little. The error is therefore that of a
    single choice.
    """
    jackknifed = rows.dropna(subset=["metrics.floor_jackknifed"])
    if len(jackknifed):
        return Floor(jackknifed["metrics.floor_jackknifed"].mean(), jackknifed["metrics.floor_se"].mean())
    plain = rows["metrics.floor"].dropna()
    return Floor(plain.mean(), math.nan) if len(plain) else None


def along(rows: Sequence[Row], axis: Axis) -> DataFrame:
    """Tabulate the rows that have a place on the axis. Lines are named by the settings that set them apart.

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
    """Split rows by protocol, in order of appearance. Only rows of one protocol may be compared."""
    protocols = [row.protocol for row in rows["row"]]
    return {each: rows[[protocol == each for protocol in protocols]] for each in dict.fromkeys(protocols)}


def rank(protocol: Protocol) -> tuple[bool, int]:
    """Return a sort key: protocols that can have standard errors first, and then those with the most images."""
    return protocol.features != EXACT and protocol.dimensions is None, -(protocol.images or 0)


def average(rows: DataFrame, by: Sequence[str] = POINT) -> DataFrame:
    """Average rows over their seeds, in groups: by default the points of the lines.

    Returns:
        FIELDS (means); `distance`, the figure that is compared: the jackknifed distance, or the plain one if the
        other is not known; `error`, its standard error (NaN if it is not known, 0 for exact figures); `low` and
        `high`, the ends of its 95% interval; `recall_error`, the standard error of recall; `seeds`, their number;
        `work`, network evaluations per image, with those of a second network and gradients of a classifier; `row`, the
        first Row; `rows`, every Row by its seed.
    """
    groups = rows.groupby([*by], observed=True)
    means = groups[FIELDS].mean()
    exact = groups["protocol.features"].first() == EXACT
    known = groups["metrics.fd_jackknifed"].count() == groups.size()
    points = means.assign(
        distance=means["metrics.fd_jackknifed"].where(known, means[FD]),
        seeds=groups.size(),
        rows=groups["row"].agg(lambda own: {row.recipe.seed: row for row in own}),
        work=groups["row"].agg(lambda own: statistics.fmean(row.cost.work for row in own)),
        row=groups["row"].first(),
    )
    error = _error_of_mean(groups, "metrics.fd_se").where(~exact, 0.0)
    half = NORMAL_95 * error
    return points.assign(
        error=error,
        low=points["distance"] - half,
        high=points["distance"] + half,
        recall_error=_error_of_mean(groups, "metrics.recall_se"),
    )


def _error_of_mean(groups: DataFrameGroupBy, field: str) -> Series:
    """Return the standard error of the mean over the rows of each group; NaN if that of a row is not known."""
    return groups[field].agg(lambda errors: math.hypot(*errors) / len(errors))


def budgets(points: DataFrame) -> Series:
    """Return the column of each point: the number of evaluations at the head of that column in a table.

    A method with two evaluations per step often has an odd number of evaluations, and would be alone in its column. So
    points join the column of a slightly larger number of evaluations (see ALONGSIDE), unless some line would then have
    two points in the column.
    """
    lines_at = {work: {*lines} for work, lines in points.reset_index().groupby("work")["line"]}
    return points["work"].map(columns(lines_at))


def columns(lines_at: Mapping[float, set[str]]) -> dict[float, float]:
    """Return the column of each number of evaluations; see `budgets`.

    Args:
        lines_at: names of the lines that have points at each number of evaluations.
    """
    column, head, there = dict[float, float](), math.nan, set[str]()
    for work, lines in sorted(lines_at.items(), reverse=True):
        if not (work >= ALONGSIDE * head and there.isdisjoint(lines)):
            head, there = work, set()
        column[work] = head
        there |= lines
    return column


def drop_lone_points(points: DataFrame) -> DataFrame:
    """Drop the lines that have a single point."""
    return points[points.groupby(level="line", observed=True)["row"].transform("size") > 1]


def timed_alike(rows: DataFrame) -> bool:
    """Tell whether the seconds of all rows can be compared: one machine took them, and did nothing else meanwhile.

    Rows of one line differ in their number of steps alone, so an evaluation takes the same time in all of them, unless
    the machine was busy with something else.
    """
    work = [row.cost.work for row in rows["row"]]
    evaluations = (rows["seconds"] / work).groupby(rows["line"], observed=True)
    return bool(rows["seconds"].notna().all() and (evaluations.max() <= STEADY * evaluations.min()).all())


def with_seconds(rows: DataFrame) -> tuple[DataFrame, Machine | None]:
    """Add a column `seconds` (per image, of one process) for the rows of the machine that timed the most rows.

    Times on two machines cannot be compared, so the other rows get NaN.

    Returns:
        The rows, and the machine; None if no row was timed.
    """
    speeds = [row.speed for row in rows["row"]]
    machines = Counter(speed.machine for speed in speeds if speed is not None)
    machine = max(machines, key=lambda each: machines[each], default=None)
    seconds = [
        math.nan if speed is None or speed.machine != machine else 1 / speed.images_per_second for speed in speeds
    ]
    return rows.assign(seconds=seconds), machine
