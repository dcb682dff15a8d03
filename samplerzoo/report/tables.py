"""Tables of a report, as markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from pandas import DataFrame, Series

from samplerzoo import registry
from samplerzoo.bench.results import Row
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import ZooError
from samplerzoo.metrics.influence import NORMAL_95
from samplerzoo.report.decide import Judge, Point
from samplerzoo.report.line_names import number, option_text, settings
from samplerzoo.report.series import FD, Floor
from samplerzoo.trust.markup import code, plain

DIGITS = 4
"""Significant digits of a distance."""

NOTHING = "–"


def markdown(head: Sequence[str], body: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Write a table. The first `texts` columns are aligned to the left, as text, and the others to the right.

    Cells have to be markdown already: untrusted text goes through `samplerzoo.trust.markup` first.
    """
    marks = [":--" if column < texts else "--:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, marks, *body))


def figure(value: float, digits: int = DIGITS) -> str:
    """Write a number with `digits` significant digits: 1.125, 45.31, 3.142e-07; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    if value == 0:
        return "0"
    decimals = _decimals(value, digits)
    return f"{value:.{digits - 1}e}" if decimals is None else f"{value:.{decimals}f}"


def _decimals(value: float, digits: int) -> int | None:
    """Return the number of decimals that shows `digits` significant digits; None if an exponent is needed."""
    size = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return max(digits - 1 - size, 0) if -4 < size < 6 else None


def interval(value: float, error: float = math.nan) -> str:
    """Write a figure with its 95% interval: `0.421 ± 0.020`. If the error is 0 or not known, write the figure alone.

    Args:
        error: standard error; NaN if it is not known.
    """
    if math.isnan(value) or math.isnan(error) or error == 0:
        return figure(value)
    half = NORMAL_95 * error
    decimals = _decimals(half, 2)
    return f"{figure(value)} ± {figure(half, 2)}" if decimals is None else f"{value:.{decimals}f} ± {half:.{decimals}f}"


def signed(value: float, error: float = math.nan) -> str:
    """Write a difference with its sign and its 95% interval."""
    return f"+{interval(value, error)}" if value > 0 else interval(value, error)


def share(value: float, count: int) -> str:
    """Write a share of `count` images with its 95% interval: `97.4% ± 0.7%`."""
    return NOTHING if math.isnan(value) else f"{value:.2%} ± {margin(value, count):.2%}"


def margin(value: float, count: int) -> float:
    """Return half the width of the 95% interval of a share of `count` images, after Agresti and Coull (1998)."""
    trials = count + NORMAL_95**2
    middle = (value * count + NORMAL_95**2 / 2) / trials
    return NORMAL_95 * math.sqrt(middle * (1 - middle) / trials)


def recall(value: float, error: float | None) -> str:
    """Write a recall with its 95% interval, from its standard error, which rows of earlier versions lack."""
    if math.isnan(value) or error is None or math.isnan(error):
        return NOTHING if math.isnan(value) else f"{value:.2%}"
    return f"{value:.2%} ± {NORMAL_95 * error:.2%}"


def by_budget(
    judge: Judge, points: DataFrame, floor: Floor | None = None, names: dict[str, str] | None = None, corner: str = ""
) -> str:
    """Tabulate distances, with one row per line and one column per number of evaluations.

    The best of each column is bold, with all that are not significantly different from it. A column has no bold if no
    point of it is significantly worse.

    Args:
        points: points of the judge to show.
        names: names to show for the lines, which are in this order; by default their own.
        corner: head of the first column.
    """
    texts = distances(points)
    for verdict in (judge.verdict(column) for _, column in points.groupby("budget") if len(column) > 1):
        if verdict.ranks:
            for point in (verdict.best, *(tie.point for tie in verdict.ties)):
                texts[point] = f"**{texts[point]}**"
    return _by_budget(points, texts, floor, names, corner)


def differences(judge: Judge, baseline: Point, *, named: bool) -> str:
    """Tabulate the differences of all points to the baseline; a star marks significant ones (see `Judge.against`)."""
    texts = {
        point: signed(value, error) + (" \\*" if told else "")
        for point, value, error, told, *_ in judge.against(baseline, named=named).itertuples(name=None)
    }
    texts[baseline] = "baseline"
    return _by_budget(judge.points, Series(texts).reindex(judge.points.index))


def _by_budget(
    points: DataFrame,
    texts: Series,
    floor: Floor | None = None,
    names: dict[str, str] | None = None,
    corner: str = "",
) -> str:
    """Lay out the texts of points. If two points fall in one cell, the one with the lower distance is shown."""
    apart = points["work"] != points["budget"]
    table = points.assign(text=texts.where(~apart, texts + points["work"].map(" ({:g})".format)))
    table = table.sort_values("distance").reset_index().drop_duplicates(["line", "budget"])
    wide = table.pivot(index="line", columns="budget", values="text").sort_index()
    names = names or {line: line for line in wide.index}
    return _wide(wide.reindex([*names]).set_axis([*names.values()]), floor, corner)


def by_scale(points: DataFrame, floor: Floor | None = None) -> str:
    """Tabulate distances, with one row per line and one column per guidance scale."""
    return _wide(distances(points).unstack(), floor)


def _wide(texts: DataFrame, floor: Floor | None, corner: str = "") -> str:
    body = [[plain(name), *cells] for name, cells in zip(texts.index, texts.fillna(NOTHING).to_numpy(), strict=True)]
    if floor is not None:
        body.append(["*real images*", *[f"*{interval(*floor)}*"] * len(texts.columns)])
    return markdown([corner, *map(number, texts.columns)], body)


def distances(points: DataFrame) -> Series:
    """Write the distance of each point."""
    return Series([*map(interval, points["distance"], points["error"])], points.index, dtype=object)


def option_tables(judge: Judge) -> list[tuple[str, str]]:
    """Tabulate distances by option and evaluations, for each set of lines that differ in one numeric option alone.

    Table 1 of Song, Meng, Ermon 2021 has this form, with eta as the option.

    Returns:
        The title, such as `eta of SAMPLER`, and the table of each set.
    """
    points = judge.points
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
            names = {line: number(value) for line, value in values.items()}
            found.append((title, by_budget(judge, family, names=names, corner=f"{plain(option)} \\ evaluations")))
    return found


def orders(points: DataFrame) -> DataFrame:
    """Compare the order of convergence that each line's sampler declares with the one measured with the most steps.

    Returns:
        Columns `declared` (NaN if the plugin is not available) and `measured`, indexed by line.
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
    """Tabulate declared and measured orders of convergence; return an empty text if none was measured."""
    body = [
        [plain(line), NOTHING if math.isnan(declared) else number(declared), figure(found, 3)]
        for line, declared, found in orders(points).itertuples()
    ]
    return markdown(["", "declared order", "measured order"], body) if body else ""


COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "clipped": ("clipped", "{:.2%}".format),
    "cost.network_calls": ("network calls", "{:g}".format),
    "cost.classifier_gradients": ("classifier gradients", "{:g}".format),
    "cost.second_nfe": ("NFE of the second network", "{:g}".format),
    "speed.images_per_second": ("images/s", partial(figure, digits=3)),
    "speed.peak_memory": ("peak memory, MiB", lambda size: f"{size / 2**20:,.0f}"),
}
"""Head and format of the columns of the full table that have no interval."""


def full_table(judge: Judge, baseline: Point) -> str:
    """Tabulate all figures of every point, without columns that are empty or repeat another."""
    points = judge.points.assign(**judge.against(baseline).add_prefix("against "))
    lines, places = (points.index.get_level_values(level) for level in ("line", "place"))
    columns = {"": [*map(plain, lines)], "steps": [*map(number, places)], "NFE": [*map(number, points["cost.nfe"])]}
    if (points["seeds"] > 1).any():
        columns["seeds"] = [*map(str, points["seeds"])]
    columns["distance"] = [*distances(points)]
    if not judge.blind:
        columns["against the baseline"] = [*map(signed, points["against value"], points["against error"])]
        columns[code(judge.protocol.metric)] = [*map(interval, points[FD], points["error"])]
        if points["metrics.fd_infinity"].notna().any():
            columns["at infinity, from n/2 and n"] = [*map(interval, points["metrics.fd_infinity"], points["error"])]
    if points["metrics.kid"].notna().any():
        columns["KID"] = [*map(interval, points["metrics.kid"], points["metrics.kid_se"])]
        if points["against kernel_error"].notna().any():
            columns["KID against the baseline"] = [
                *map(signed, points["against kernel"], points["against kernel_error"])
            ]
    count = (judge.protocol.images or 0) * points["seeds"]
    for field, head in (("metrics.label_accuracy", "label accuracy"), ("metrics.precision", "precision")):
        if points[field].notna().any():
            columns[head] = [*map(share, points[field], count)]
    if points["metrics.recall"].notna().any():
        columns["recall"] = [*map(recall, points["metrics.recall"], points["recall_error"])]
    for field, (head, show) in COLUMNS.items():
        values = points[field]
        unused = field in ("cost.classifier_gradients", "cost.second_nfe") and not values.any()
        if values.isna().all() or unused or (field == "cost.network_calls" and values.equals(points["cost.nfe"])):
            continue
        columns[head] = [NOTHING if math.isnan(value) else show(value) for value in values]
    return markdown([*columns], zip(*columns.values(), strict=True))
