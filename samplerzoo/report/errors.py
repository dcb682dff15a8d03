"""Errors of images in a report: distance of each sampler to the converged solution from the same noise, by evaluations.

All rows begin with the same noise, so they are compared image by image, with a bootstrap over the images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from samplerzoo.bench.image_errors import STOCHASTIC, collect_errors, gather_errors
from samplerzoo.bench.image_mean import DECIDING, NORMAL, deciding, interval, pooled, standard_error
from samplerzoo.bench.results import Row
from samplerzoo.errors import UsageError
from samplerzoo.report.decide import named_rows
from samplerzoo.report.difference import Difference, weights
from samplerzoo.report.findings import MOST, most_usual
from samplerzoo.report.image_table import FEW, ImageTable, in_columns
from samplerzoo.report.line_names import name_lines, number
from samplerzoo.report.plots import save_cost_plots
from samplerzoo.report.series import POINT, rank
from samplerzoo.report.tables import NOTHING, figure, markdown
from samplerzoo.sampling.convergence import TOLERANCE
from samplerzoo.trust.markup import plain

DIGITS = 3
"""Significant digits of an error."""

ENOUGH = 256
"""Least number of images at which 95% of the intervals of means hold, on every model that was tried (docs/exact.md)."""

Errors = NDArray[np.float64]
Seeded = dict[int, Errors]
"""Errors (N,) of single images, by seed."""


@dataclass(frozen=True, eq=False)
class ErrorTable(ImageTable):
    """Table of the rows of one protocol that have an error, by line and column.

    Attributes:
        errors: errors of single images, by the cell of their row; rows whose images are gone are missing.
        without: lines without an error.
    """

    errors: Mapping[str, Errors]
    without: Sequence[str]

    def mean(self, line: str, work: float) -> float:
        """Return the mean error over all images of all seeds."""
        return _mean(self.rows[line, work])

    @functools.cache  # noqa: B019  the table lives only while its report is written
    def measured(self, line: str, work: float) -> Measured:
        """Return the mean error over all images of all seeds, with its standard error and interval."""
        return measured(self.rows[line, work], self.errors)

    def seeded(self, line: str, work: float) -> Seeded:
        """Return the errors of single images, by seed."""
        return by_seed(self.rows[line, work], self.errors)

    def difference(self, line: str, other: str, work: float) -> tuple[float, float, float] | None:
        """Return the mean of `line - other` and its interval; None if rows or images are missing."""
        if (line, work) not in self.rows or (other, work) not in self.rows:
            return None
        found = contrasts(self.seeded(line, work), self.seeded(other, work))
        return interval(found) if len(found) else None

    @functools.cached_property
    def points(self) -> DataFrame:
        """Table of means for the plots, by line and evaluations; ends of intervals are NaN if there are few images."""
        table = DataFrame(
            [
                {"line": line, "place": budget, "budget": budget, "work": there[0].cost.work, "row": there[0],
                 "distance": found.mean, "low": found.low, "high": found.high}
                for (line, budget), there in self.rows.items()
                for found in [self.measured(line, budget)]
            ]
        )  # fmt: skip
        return table.set_index(POINT)

    def without_images(self) -> list[str]:
        """Return the names of lines with at least one row whose errors of single images are gone."""
        return [*dict.fromkeys(line for (line, work), there in self.rows.items()
                               if len(self.seeded(line, work)) < len(there))]  # fmt: skip

    def without_interval(self) -> list[Errors]:
        """Return the errors of single images of each row that has no interval, since too few images decide its mean."""
        lacking = [place for place in self.rows if math.isnan(self.measured(*place).error)]
        known = [self.seeded(*place) for place in lacking if len(self.seeded(*place)) == len(self.rows[place])]
        return [_pooled(seeded) for seeded in known]

    def baseline(self, wanted: str | None = None) -> str:
        """Return the line that others are compared with; see `usual_baseline` for the default.

        Args:
            wanted: start of a line's name, as in `ddim eta 0`; evaluations behind it, as in `ddim eta 0@10`, are
                ignored.

        Raises:
            UsageError: there is no such line.
        """
        if wanted is not None:
            rows = [*self.rows]
            named = named_rows(wanted, rows) or named_rows(wanted.rpartition("@")[0], rows)
            if not named:
                raise UsageError(f"no row {wanted!r} to compare with; there are: {', '.join(self.lines)}")
            return named[0][0]
        return self.usual_baseline

    def baseline_row(self, wanted: str | None = None) -> Row:
        """Return the baseline's row with the wanted number of evaluations, else its cheapest row; see `baseline`."""
        line, budget = self.baseline(wanted), (wanted or "").rpartition("@")[2]
        own = [there[0] for (name, _), there in self.rows.items() if name == line]
        return min(own, key=lambda row: (f"{row.cost.work:g}" != budget, row.cost.work))

    @property
    def least(self) -> float:
        """Smallest difference that may be significant: how far converged solutions moved at the last doubling of steps.

        It is a median over images, and the largest of all rows.
        """
        rows = [row for there in self.rows.values() for row in there]
        return max((row.error.moved or 0.0 for row in rows if row.error is not None), default=0.0)

    def cost(self, rows: Sequence[Row]) -> float:
        return _mean(rows)

    def equals(self, line: str, work: float) -> bool:
        """Tell whether a line is the best of a column, or not significantly different from the best."""
        return line not in self.told(work)

    def excess(self, line: str, other: str, work: float) -> Difference:
        """Return the difference `line - other`; NaN if images are gone."""
        values = contrasts(self.seeded(line, work), self.seeded(other, work))
        if not len(values):
            return Difference(math.nan, math.nan)
        return Difference(float(values.mean()), standard_error(values))


def error_tables(folder: Path, rows: Sequence[Row]) -> list[ErrorTable]:
    """Split rows of errors into tables of rows that can be compared, those with the most images first."""
    found = []
    for protocol in sorted(dict.fromkeys(row.protocol for row in rows), key=rank):
        own = [row for row in rows if row.protocol == protocol]
        lines = name_lines([row.recipe for row in own], "steps")
        order = [*lines.categories]
        known: dict[tuple[str, float], list[Row]] = {}
        for line, row in sorted(zip(lines, own, strict=True), key=lambda pair: order.index(pair[0])):
            if row.error is not None and row.error.mean is not None:
                known.setdefault((line, row.cost.work), []).append(row)
        without = [line for line in order if line not in {name for name, _ in known}]
        found.append(ErrorTable(protocol, in_columns(known), collect_errors(folder, own), without))
    return found


def findings(table: ErrorTable) -> list[str]:
    """Say which row has the lowest error at the usual numbers of evaluations; undecided columns come first."""
    if table.few:
        return [f"Cannot tell: at least {FEW} images are needed; each row has {table.protocol.images}."]
    unknown, known = [], []
    for work in most_usual([work for work in table.budgets if len(table.beside(work)) > 1], MOST):
        best = table.best(work)
        mean = _of_rows(table.rows[best, work], table.errors)
        where = f"At {work:g} evaluations{table.where(work)}"
        if not table.told(work):
            unknown.append(
                f"{where}: cannot tell. No row is told from the lowest, {best} ({mean}){table.needed(work)}."
            )
            continue
        equal = [line for line in table.beside(work) if line != best and table.equals(line, work)]
        tail = f"; not told from it: {', '.join(equal)}" if equal else ""
        known.append(f"{where} the nearest is {best} ({mean}){tail}.")
    return unknown + known


def section(table: ErrorTable, folder: Path, stem: str, wanted: str | None = None) -> Iterator[str]:
    """Write the parts of a report on these rows, and their plots to the folder.

    Args:
        stem: start of the plots' file names.
        wanted: line that the others are compared with; see `ErrorTable.baseline`.
    """
    yield f"## {plain(table.protocol.title)}"
    yield (
        "Error of an image: root mean square over its pixels, in [-1, 1], of the difference to the converged solution "
        f"of the probability flow from the same noise ({plain(table.protocol.reference_id)}). "
        + (f"{table.over} " if table.rows else "")
        + "No data take part: this is the sampler's own error on this model."
    )
    if table.rows and not table.few and (table.protocol.images or 0) < ENOUGH:
        yield (
            f"Below {ENOUGH} images fewer intervals of means hold: with {FEW} images 88% on a network, and 93% on an "
            "exact model. Those of differences, by which rows are told, hold in 93% on a network. Of two methods that "
            "part in few images they hold more seldom: of the few, 64 images may have none."
        )
    if table.least > TOLERANCE:
        yield (
            f"The converged solutions still moved by {table.least:.2g}, the median, when their steps were doubled for "
            "the last time. No smaller difference is told."
        )
    if table.rows:
        yield "\n".join(f"- {plain(sentence)}" for sentence in findings(table))
        asked = [] if wanted is None else [place for place in table.points.index if place[0] == table.baseline(wanted)]
        for name, alt in save_cost_plots(table.points, table.protocol, None, folder, stem, asked).items():
            yield f"![{plain(alt)}]({name})"
        bold = "" if table.few else ", in bold the nearest of each column and what is not told from it"
        yield f"Error by evaluations of the network{bold}:"
        yield _means(table)
        gone = table.without_images()
        if gone and not table.few:
            yield f"No errors of single images are kept of {plain(', '.join(gone))}: no difference to these is told."
        lacking = [] if table.few else table.without_interval()
        if lacking:
            yield _without_interval(lacking, table.protocol.images or 0)
        baseline = table.baseline(wanted)
        differences = "" if table.few else _differences(table, baseline)
        if differences:
            yield (
                f"Difference to {plain(baseline)}, image by image where both share a seed, with its interval:\n\n"
                f"{differences}"
            )
        in_features = _in_features(table)
        if in_features:
            yield f"Distance in the features, by evaluations:\n\n{in_features}"
    if table.without:
        yield f"{plain(', '.join(table.without))}: {STOCHASTIC}."


def compared_errors(found: Sequence[tuple[Path, Row]], folders: Sequence[Path]) -> Iterator[str]:
    """Compare the rows of errors of one protocol in a table with one column per folder.

    For two folders, the last column is the second minus the first, image by image.
    """
    lines = name_lines([row.recipe for _, row in found], "steps")
    errors = {folder: gather_errors(folder, [row for own, row in found if own == folder]) for folder in folders}
    places: dict[tuple[int, int], dict[Path, list[Row]]] = {}
    for code, (folder, row) in zip(lines.codes, found, strict=True):
        places.setdefault((int(code), row.recipe.steps or 0), {}).setdefault(folder, []).append(row)
    body = []
    for (code, steps), rows in sorted(places.items(), key=lambda each: each[0]):
        seeded = [by_seed(rows.get(folder, ()), errors[folder]) for folder in folders]
        texts = [_of_rows(rows.get(folder, ()), errors[folder]) for folder in folders]
        if len(folders) == 2:
            change = contrasts(*reversed(seeded))
            texts.append(
                _with_interval(*interval(change))
                if len(change) and (found[0][1].protocol.images or 0) >= FEW
                else NOTHING
            )
        work = next(iter(rows.values()))[0].cost.work
        body.append([plain(lines.categories[code]), number(steps), f"{work:g}", *texts])
    yield markdown(["", "steps", "NFE", *(plain(str(it)) for it in folders), *["change"][: len(folders) == 2]], body)


def by_seed(rows: Sequence[Row], errors: Mapping[str, Errors]) -> Seeded:
    """Return the errors of single images of rows, by seed; none if those of one row are gone."""
    return {row.recipe.seed: errors[row.cell] for row in rows} if all(row.cell in errors for row in rows) else {}


def contrasts(mine: Seeded, theirs: Seeded) -> Errors:
    """Return values (N,) whose mean is the difference of two means, `mine - theirs`, and whose spread gives its error.

    Of two rows with the same seeds these are the differences image by image. Otherwise the seeds are weighted as by
    `difference.weights`, and each image stands for its deviation from the mean of its seed. There are no values if the
    images of a row are gone.
    """
    paired = [seed for seed in sorted(mine) if seed in theirs and len(mine[seed]) == len(theirs[seed])]
    if not mine or not theirs or len(paired) == len(mine) == len(theirs):
        return np.concatenate([np.zeros(0), *(mine[seed] - theirs[seed] for seed in paired)])
    seeds = sorted({*mine, *theirs})
    covariance = np.full((len(seeds), 2, 2), math.nan)
    for place, seed in enumerate(seeds):
        if seed in paired:
            covariance[place] = np.cov(mine[seed], theirs[seed], ddof=0)
    weight = weights(np.array([[seed in mine, seed in theirs] for seed in seeds]), covariance)
    parts = []
    for seed, ((_, of_mine), (of_theirs, _)) in zip(seeds, weight, strict=True):
        own = [by * errors[seed] for by, errors in ((of_mine, mine), (-of_theirs, theirs)) if seed in errors]
        parts += [sum(own)] if seed in paired else own
    value, count = sum(part.mean() for part in parts), sum(map(len, parts))
    return value + np.concatenate([(part - part.mean()) * count / len(part) for part in parts])


def _pooled(seeded: Seeded) -> Errors:
    """Return the errors of the images of all seeds."""
    return np.concatenate([np.zeros(0), *(seeded[seed] for seed in sorted(seeded))])


class Measured(NamedTuple):
    """Mean error of the images of rows, its standard error, and the ends of its interval.

    Error and ends are NaN if there are few images, or if images are gone. But if a single row has lost its images, its
    own record of the interval is used.
    """

    mean: float
    error: float = math.nan
    low: float = math.nan
    high: float = math.nan


def measured(rows: Sequence[Row], errors: Mapping[str, Errors]) -> Measured:
    """Return the mean error, with its interval, over all images of rows that differ in their seeds alone."""
    known = [row.error for row in rows if row.error is not None and row.error.mean is not None]
    mean, seeded = _mean(rows), by_seed(rows, errors)
    if known and (rows[0].protocol.images or 0) >= FEW:
        if len(seeded) == len(rows):
            values = _pooled(seeded)
            error = standard_error(values)
            return Measured(mean, error, *interval(values, error)[1:])
        low, high = known[0].low, known[0].high
        if len(known) == 1 and low is not None and high is not None:
            return Measured(mean, (high - low) / 2 / NORMAL, low, high)
    return Measured(mean)


def _mean(rows: Sequence[Row]) -> float:
    """Return the mean error of rows that differ in their seeds alone; NaN if they have none."""
    known = [row.error.mean for row in rows if row.error is not None and row.error.mean is not None]
    return float(np.mean(known)) if known else math.nan


def _of_rows(rows: Sequence[Row], errors: Mapping[str, Errors]) -> str:
    """Write the mean of rows that differ in their seeds alone, with its interval if it has one."""
    return _written(measured(rows, errors))


def _written(found: Measured) -> str:
    return _with_interval(found.mean, found.low, found.high)


def _with_interval(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return figure(value, DIGITS)
    return f"{figure(value, DIGITS)} [{figure(low, DIGITS)}, {figure(high, DIGITS)}]"


def _without_interval(lacking: Sequence[Errors], images: int) -> str:
    """Say why rows have no interval, and how many images of each seed may give them one.

    Args:
        lacking: errors of the images of such rows.
        images: images of each seed.
    """
    fewest = max(min(float(deciding(values[:, None])[0]) for values in lacking), 1.0)  # 0 if all errors are equal
    wanted = 2 ** math.ceil(math.log2(images * DECIDING / fewest))
    return (
        f"Means without an interval: {len(lacking)}. Fewer than {DECIDING:g} images decide each of them, as where "
        f"few end far from the converged image and all others near it; --images {wanted} may tell."
    )


def _means(table: ErrorTable) -> str:
    body = []
    for line in table.lines:
        cells = []
        for work in table.budgets:
            text = _written(table.measured(line, work)) if (line, work) in table.rows else NOTHING
            own = table.rows[line, work][0].cost.work if (line, work) in table.rows else work
            text += f" ({own:g})" if own != work else ""
            bold = (line, work) in table.rows and bool(table.told(work)) and table.equals(line, work)
            cells.append(f"**{text}**" if bold else text)
        body.append([plain(line), *cells])
    return markdown(["", *map(number, table.budgets)], body)


def _differences(table: ErrorTable, baseline: str) -> str:
    """Tabulate the paired differences to a line; return an empty text if none is known."""
    body = []
    for line in table.lines:
        found = [table.difference(line, baseline, work) for work in table.budgets]
        if line != baseline and any(found):
            body.append([plain(line), *(NOTHING if each is None else _with_interval(*each) for each in found)])
    return markdown(["", *map(number, table.budgets)], body) if body else ""


def _in_features(table: ErrorTable) -> str:
    """Tabulate the distances in features; return an empty text if none was measured."""
    body = []
    for line in table.lines:
        cells = []
        for work in table.budgets:
            errors = [row.error for row in table.rows.get((line, work), ()) if row.error is not None]
            known = [(each.features_mean, each.features_low, each.features_high)
                     for each in errors if each.features_mean is not None]  # fmt: skip
            cells.append(_with_interval(*pooled(known)) if known else NOTHING)
        body.append([plain(line), *cells])
    measured = any(cell != NOTHING for _, *cells in body for cell in cells)
    return markdown(["", *map(number, table.budgets)], body) if measured else ""
