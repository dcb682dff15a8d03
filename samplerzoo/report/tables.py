"""Tables of a report, as markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import pandas
from pandas import DataFrame, Series

from samplerzoo import registry
from samplerzoo.bench.results import Row
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import ZooError
from samplerzoo.markup import code, plain
from samplerzoo.report.line_names import number, option_text, settings
from samplerzoo.report.series import FD, Floor, Spread, drop_lone_points, near_to

DIGITS = 4
"""Significant digits of a distance."""

NOTHING = "–"


def markdown(head: Sequence[str], body: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Write a table; its first columns (`texts` of them) are aligned as text, the others as numbers.

    Its cells are markdown already: text of other origin comes through `samplerzoo.markup`.
    """
    marks = [":--" if column < texts else "--:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, marks, *body))


def figure(value: float, digits: int = DIGITS) -> str:
    """Write a number with so many significant digits: 1.125, 45.31, 3.142e-07; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    if value == 0:
        return "0"
    decimals = _decimals(value, digits)
    return f"{value:.{digits - 1}e}" if decimals is None else f"{value:.{decimals}f}"


def _decimals(value: float, digits: int) -> int | None:
    """Count the decimals that show so many significant digits; None where only an exponent does."""
    size = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return max(digits - 1 - size, 0) if -4 < size < 6 else None


def measured(mean: float, sd: float = math.nan) -> str:
    """Write a mean and its standard deviation, both with the decimals of the mean: `1.125 ± 0.012`."""
    if math.isnan(mean) or math.isnan(sd):
        return figure(mean)
    decimals = _decimals(mean, DIGITS) if mean else None
    return f"{figure(mean)} ± {figure(sd, 2)}" if decimals is None else f"{mean:.{decimals}f} ± {sd:.{decimals}f}"


def pivot(points: DataFrame, spread: Spread, floor: Floor | None = None, corner: str = "") -> str:
    """Table distances, with one row per line and one column per place.

    In bold are the lowest of each column and all that seeds do not tell from it.
    """
    texts = _distances(points)
    if points.index.get_level_values("line").nunique() > 1:
        columns = [column for _, column in points.groupby(level="place")]
        apart = pandas.concat([spread.tells(column, column.loc[column[FD].idxmin()]) for column in columns])
        texts = texts.where(apart, "**" + texts + "**")
    wide = texts.unstack().fillna(NOTHING)
    body = [[plain(name), *cells] for name, cells in zip(wide.index, wide.to_numpy(), strict=True)]
    if floor is not None:
        body.append(["*real images*", *[f"*{measured(*floor)}*"] * len(wide.columns)])
    return markdown([corner, *map(number, wide.columns)], body)


def _distances(points: DataFrame) -> Series:
    """Write the distance of each point."""
    return Series([*map(measured, points[FD], points[f"{FD} sd"])], points.index, dtype=object)


def option_tables(points: DataFrame, spread: Spread) -> list[tuple[str, str]]:
    """Table distances by option and number of steps, for each set of lines that differ in one numeric option alone.

    Table 1 of Song, Meng, Ermon 2021 has this form, with eta as the option.

    Returns:
        Title, such as `eta of SAMPLER`, and table of each set.
    """
    families: dict[tuple[str, str], dict[str, float]] = {}
    for line, row in points["row"].groupby(level="line", observed=True).first().items():
        own = settings(row.recipe)
        for field, value in own.items():
            if field.startswith("sampler ") and isinstance(value, (int, float)) and not isinstance(value, bool):
                rest = json.dumps({**own, field: None}, sort_keys=True)
                families.setdefault((field, rest), {})[line] = value
    found = []
    for (field, _), values in families.items():
        if len(values) > 1:
            option, first = field.rpartition(".")[2], next(iter(values))
            title = f"{option} of {first.replace(' ' + option_text(option, values[first]), '', 1)}"
            family = points[points.index.get_level_values("line").isin(values)]
            numbers = {line: number(value) for line, value in values.items()}
            found.append((title, pivot(_renamed(family, numbers), spread, corner=f"{plain(option)} \\ steps")))
    return found


def _renamed(points: DataFrame, names: dict[str, str]) -> DataFrame:
    """Call lines by other names, in the order of those."""
    lines, places = (points.index.get_level_values(level) for level in ("line", "place"))
    renamed = pandas.Categorical(lines.map(names), [*names.values()], ordered=True)
    return points.set_index([pandas.Index(renamed, name="line"), places])


def near_table(points: DataFrame) -> str:
    """Table at how many steps each line comes within 5% of its own lowest distance; empty if no line has two points."""
    body = []
    for line, own in drop_lone_points(points).groupby(level="line", observed=True):
        steps = own.index.get_level_values("place")
        first = steps[near_to(own, own[FD].min())][0]
        lowest = steps[own[FD].argmin()]
        body.append([plain(line), number(lowest), f"≥ {number(first)}" if first == steps[-1] else number(first)])
    return markdown(["", "lowest at steps", "within 5% of it from"], body) if body else ""


def orders(points: DataFrame) -> DataFrame:
    """Compare the order of convergence that each line's sampler declares with the one measured with the most steps.

    Returns:
        Columns `declared` (NaN where the plugin is not there to be asked) and `measured`, indexed by line.
    """
    last = points[points["metrics.order"].notna()].groupby(level="line", observed=True).last()
    return DataFrame({"declared": last["row"].map(_declared_order).astype(float), "measured": last["metrics.order"]})


def _declared_order(row: Row) -> float:
    try:
        sampler = registry.make("sampler", row.recipe.sampler, row.recipe.sampler_options)
    except ZooError:
        return math.nan
    assert isinstance(sampler, Sampler)
    return sampler.order


def order_table(points: DataFrame) -> str:
    """Table declared and measured orders of convergence; empty if none was measured."""
    body = [
        [plain(line), NOTHING if math.isnan(declared) else number(declared), figure(found, 3)]
        for line, declared, found in orders(points).itertuples()
    ]
    return markdown(["", "declared order", "measured order"], body) if body else ""


COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "metrics.floor": ("real images", figure),
    "metrics.kid": ("KID ± sd of its subsets", figure),
    "metrics.precision": ("precision", partial(figure, digits=3)),
    "metrics.recall": ("recall", partial(figure, digits=3)),
    "metrics.label_accuracy": ("label accuracy", "{:.2%}".format),
    "clipped": ("clipped", "{:.2%}".format),
    "cost.nfe": ("NFE", "{:g}".format),
    "cost.network_calls": ("network calls", "{:g}".format),
    "cost.classifier_gradients": ("classifier gradients", "{:g}".format),
    "cost.second_nfe": ("NFE of the second network", "{:g}".format),
    "speed.images_per_second": ("images/s", partial(figure, digits=3)),
    "speed.peak_memory": ("peak memory, MiB", lambda size: f"{size / 2**20:,.0f}"),
}
"""Head and format of each column of the full table behind the distance."""


def full_table(points: DataFrame, metric: str) -> str:
    """Table all figures of every point, without the columns that say nothing new."""
    lines, places = (points.index.get_level_values(level) for level in ("line", "place"))
    columns = {"": [*map(plain, lines)], "steps": [*map(number, places)]}
    if (points["seeds"] > 1).any():
        columns["seeds"] = [*map(str, points["seeds"])]
    columns[code(metric)] = [*_distances(points)]
    for field, (head, show) in COLUMNS.items():
        values = points[field]
        unused = field in ("cost.classifier_gradients", "cost.second_nfe") and not values.any()
        if values.isna().all() or unused or (field == "cost.network_calls" and values.equals(points["cost.nfe"])):
            continue
        if field == "metrics.kid":
            columns[head] = [*map(measured, values, points["metrics.kid_sd"])]
        else:
            columns[head] = [NOTHING if math.isnan(value) else show(value) for value in values]
    return markdown([*columns], zip(*columns.values(), strict=True))
