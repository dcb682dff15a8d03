"""Decisions: which differences the figures of a benchmark carry, and how many images the others need.

A difference of two rows is told if three things hold. Its paired error makes chance unlikely (Holm's correction over
the rows that are compared with one). The kernel distance, which has no bias, has the same sign. And so has the
difference at infinitely many images. Where an error is not known, no difference is told; where the errors of both rows
are known and not what they share, they are taken as independent, which tells less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any, NamedTuple, TypeVar

from pandas import DataFrame

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import EXACT, Protocol, Row
from samplerzoo.errors import UsageError
from samplerzoo.report.line_names import name_lines
from samplerzoo.report.series import budgets
from samplerzoo.sampling.recipe import Recipe

LEVEL = 0.05
"""Probability of an error in a column of differences, if none is true."""

COMPARED = ("fd_jackknifed", "kid", "fd_infinity")
"""Metrics whose differences must have one sign; the first is the one that is shown."""

ROUNDING = 1e-4
"""Difference of distances, as a share of them, that rounding makes: images of other batches differ by so much."""

Point = tuple[str, float]
"""Index of a point: its line and its place."""

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Difference:
    """Difference of the distances of two points, `one - other`.

    Attributes:
        value: over the seeds that both have, if they have any in common.
        error: standard error; NaN if it is not known.
        kernel, kernel_error: the same of the kernel distance.
        agrees: whether kernel distance and distance at infinity, where they are known, have the same sign.
        p: probability of so large a difference, or a larger one, by chance alone; 1 if that is not known.
    """

    value: float
    error: float
    agrees: bool = True
    kernel: float = math.nan
    kernel_error: float = math.nan

    @property
    def p(self) -> float:
        if math.isnan(self.error):
            return 1.0
        if self.error == 0:
            return 0.0 if self.value else 1.0
        return math.erfc(abs(self.value) / self.error / math.sqrt(2))


def pairings(points: int) -> int:
    """Count the pairs of points.

    The best of a column is chosen by its figures, so that each of its differences is chosen from those of all pairs.
    """
    return points * (points - 1) // 2


def holm(probabilities: Sequence[float], comparisons: int | None = None) -> list[float]:
    """Return the probabilities, corrected for their number by the method of Holm (1979).

    If those below 0.05 are called true, the probability that any of them is false is at most 0.05.

    Args:
        comparisons: how many comparisons these were chosen from; by default there are no others.
    """
    adjusted, highest, count = [0.0] * len(probabilities), 0.0, comparisons or len(probabilities)
    for rank, index in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        highest = max(highest, min(1.0, (count - rank) * probabilities[index]))
        adjusted[index] = highest
    return adjusted


class Tie(NamedTuple):
    """Point that is not told from the best, with the images of a row that would tell them apart (None: not known).

    Attributes:
        careful: standard errors in half a 95% interval of the difference that allows for all pairs of the column.
    """

    point: Point
    difference: Difference
    images: int | None
    careful: float


@dataclass(frozen=True)
class Verdict:
    """Outcome of a column: the points of about as many evaluations.

    Attributes:
        budget: evaluations.
        best: the point of the lowest distance, over the seeds that all points have, if they have any in common.
        ties: points that are not told from it, the lowest first.
        worse: points that are told to be worse, each with its difference to the best, the smallest first.
        distance, error: distance of the best point over these seeds, and its standard error.
        seeds: these seeds; None if all points have the same ones.
    """

    budget: float
    best: Point
    ties: tuple[Tie, ...]
    worse: tuple[tuple[Point, Difference], ...]
    distance: float
    error: float
    seeds: Sequence[int] | None = None

    @property
    def decided(self) -> bool:
        """True if the best point is told from all others, of which there is one at least."""
        return not self.ties and bool(self.worse)

    @property
    def ranks(self) -> bool:
        """True if any point is told from the best."""
        return bool(self.worse)


class Judge:
    """Judge of the points of one protocol.

    Args:
        points: as of `average`.
        evidence: covariances of the cells.
        level: probability of an error in a column.
    """

    def __init__(self, protocol: Protocol, points: DataFrame, evidence: Evidence, level: float = LEVEL) -> None:
        self.protocol, self.points, self.level = protocol, points.assign(budget=budgets(points)), level
        self._evidence = evidence
        self._rows: dict[Point, dict[int, Row]] = points["rows"].to_dict()

    @property
    def blind(self) -> bool:
        """True if no error is known, so that no difference is told."""
        return bool(self.points["error"].isna().all())

    def difference(self, one: Point, other: Point) -> Difference:
        """Compare two points: image by image over the seeds that both have, if there are any."""
        return difference(self._rows[one], self._rows[other], self._evidence)

    def verdicts(self) -> list[Verdict]:
        """Judge every column of two points or more."""
        return [self.verdict(column) for _, column in self.points.groupby("budget") if len(column) > 1]

    def verdict(self, column: DataFrame) -> Verdict:
        """Find the best point of a column, and those that are not told from it.

        It has the lowest distance over the seeds that all points have, unless another one is told to be better over
        the further seeds that the two share.
        """
        ranked, seeds = self._ranked(column)
        among = pairings(len(ranked))
        best, others = lowest([*ranked.index], self.difference, lambda found: self.told(found, among))
        ties = tuple(
            Tie(other, it, self._images(it, among), self._careful(among))
            for other, it, apart in others
            if not (apart and it.value > 0)
        )
        worse = sorted(
            ((other, it) for other, it, apart in others if apart and it.value > 0), key=lambda each: each[1].value
        )
        distance, error = ranked.loc[best]
        budget = float(column["budget"].iloc[0])
        return Verdict(budget, best, ties, tuple(worse), float(distance), float(error), seeds)

    def _ranked(self, column: DataFrame) -> tuple[DataFrame, list[int] | None]:
        """Return distance and error of the points of a column, the lowest first, and the seeds they are of.

        These are None if there is no seed to leave out; see `common_seeds`.
        """
        rows = [self._rows[point] for point in column.index]
        common = common_seeds(rows)
        if common is None:
            return column.sort_values("distance")[["distance", "error"]], None
        found = [distance_of([own[seed] for seed in common]) for own in rows]
        return DataFrame(found, column.index, ["distance", "error"]).sort_values("distance"), common

    def told(self, differences: Sequence[Difference], comparisons: int | None = None) -> list[bool]:
        """Tell which differences are more than chance, of so many that could have been looked at (default: these)."""
        corrected = holm([difference.p for difference in differences], comparisons)
        return [p < self.level and difference.agrees for p, difference in zip(corrected, differences, strict=True)]

    def baseline(self, wanted: str | None = None) -> Point:
        """Find the row that all others are compared with.

        Args:
            wanted: start of a line's name, with `@` and a number of evaluations behind it if not its cheapest row is
                meant; by default the cheapest row of the sampler and guidance that have the lowest distance.

        Raises:
            UsageError: there is no such row.
        """
        if wanted is None:
            family = _family(self.points["row"].loc[self.points["distance"].idxmin()])
            found = self.points[[_family(row) == family for row in self.points["row"]]]
        else:
            name, _, budget = wanted.partition("@")
            lines = self.points.index.get_level_values("line")
            named = lines == name if name in lines else lines.astype(str).str.startswith(name)
            found = self.points[named]
            found = found[[budget in ("", f"{work:g}") for work in found["work"]]]
            if found.empty:
                rows = [f"{line}@{work:g}" for (line, _), work in self.points["work"].items()]
                raise UsageError(f"no row {wanted!r} to compare with; there are: {', '.join(rows)}")
        return found.sort_values(["work", "distance"]).index[0]

    def against(self, baseline: Point, *, named: bool = False) -> DataFrame:
        """Compare every other point with the baseline.

        Args:
            named: whether somebody asked for this baseline. Any other is chosen by its figures, so that all pairs
                count, as they do for the best of a column.

        Returns:
            Columns `value`, `error`, `kernel` and `kernel_error` of the differences, and `told`, with Holm's correction
            over each column of evaluations.
        """
        found = {}
        for _, column in self.points.groupby("budget"):
            others = [point for point in column.index if point != baseline]
            differences = [self.difference(point, baseline) for point in others]
            judged = self.told(differences, None if named else pairings(len(others) + 1))
            for point, difference, told in zip(others, differences, judged, strict=True):
                found[point] = difference.value, difference.error, told, difference.kernel, difference.kernel_error
        names = ["value", "error", "told", "kernel", "kernel_error"]
        table = DataFrame.from_dict(found, orient="index", columns=names)
        return table.reindex([*self.points.index])

    def unpaired(self, baseline: Point) -> int:
        """Count the points that share a seed with the baseline, and of which no covariance with it is kept."""
        own = self._rows[baseline]
        pairs = [
            (rows[seed].cell, own[seed].cell)
            for point, rows in self._rows.items()
            for seed in [*(rows.keys() & own.keys())][:1]
            if point != baseline
        ]
        return sum(math.isnan(self._evidence.variance("fd", [(one, 1.0), (other, -1.0)])) for one, other in pairs)

    def _images(self, difference: Difference, comparisons: int) -> int | None:
        """Return how many images a row needs for a difference of this size to be told, to two digits."""
        if self.protocol.images is None or math.isnan(difference.error) or not difference.value:
            return None
        exact = max(self.protocol.images * (self._careful(comparisons) * difference.error / difference.value) ** 2, 1.0)
        digit = 10 ** max(math.floor(math.log10(exact)) - 1, 0)
        return math.ceil(exact / digit) * digit

    def _careful(self, comparisons: int) -> float:
        """Return the standard errors by which one of so many differences must be away from 0 (Bonferroni)."""
        return NormalDist().inv_cdf(1 - self.level / 2 / comparisons)


def common_seeds(points: Sequence[Mapping[int, Any]]) -> list[int] | None:
    """Return the seeds that all points of a column have; None if that leaves out none, or leaves none.

    Means over other seeds differ by the seeds, too, so that points are ranked on these.
    """
    common = set.intersection(*({*own} for own in points))
    return sorted(common) if common and any(len(own) > len(common) for own in points) else None


def on_seeds(seeds: Sequence[int] | None) -> str:
    """Say on which seeds rows are ranked, where they have others, too."""
    if seeds is None:
        return ""
    return " on the seed that all rows have" if len(seeds) == 1 else f" on the {len(seeds)} seeds that all rows have"


def lowest(
    ranked: Sequence[Name],
    compare: Callable[[Name, Name], Difference],
    told: Callable[[Sequence[Difference]], Sequence[bool]],
) -> tuple[Name, list[tuple[Name, Difference, bool]]]:
    """Find the best of a column, and compare the others with it.

    It is the first one, unless another is told to be better over the further seeds that the two share.

    Args:
        ranked: points, the lowest first.
        compare: function that compares two of them.
        told: function that tells which differences to one point are more than chance.

    Returns:
        The best, and of each other one its difference and whether it is told.
    """
    best = ranked[0]
    passed: set[Name] = set()
    while True:
        others = [point for point in ranked if point != best]
        differences = [compare(other, best) for other in others]
        judged = [*zip(others, differences, told(differences), strict=True)]
        better = [
            (it.value, place)
            for place, (other, it, apart) in enumerate(judged)
            if apart and it.value < 0 and other not in passed
        ]
        if not better:
            return best, judged
        passed.add(best)
        best = others[min(better)[1]]


def distance_of(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the mean distance of rows of several seeds and its standard error, NaN if that is not known.

    It is the jackknifed distance, or the plain one where not all rows have that.
    """
    removed = _mean(rows, COMPARED[0])
    distance = _mean(rows, "fd") if math.isnan(removed) else removed
    errors = [math.nan if row.metrics is None or row.metrics.fd_se is None else row.metrics.fd_se for row in rows]
    return distance, 0.0 if rows[0].protocol.features == EXACT else math.hypot(*errors) / len(errors)


def difference(mine: Mapping[int, Row], theirs: Mapping[int, Row], evidence: Evidence) -> Difference:
    """Compare the rows of two points, by seed: those of the seeds that both have, if there are any.

    Rows that were never measured side by side are compared as if they were independent, over all seeds. If they share
    noise, their difference is surer than that.

    Args:
        evidence: covariances of their cells.
    """
    common = sorted(mine.keys() & theirs.keys())
    ours, others = ([rows[seed] for seed in common or rows] for rows in (mine, theirs))
    paired = _difference(
        ours, others, lambda figure, terms: evidence.variance(figure, [(row.cell, by) for row, by in terms])
    )
    if not math.isnan(paired.error):
        return paired
    apart = _difference([*mine.values()], [*theirs.values()], _variance_apart)
    return paired if math.isnan(apart.error) else apart


def _difference(
    ours: Sequence[Row], others: Sequence[Row], variance: Callable[[str, Sequence[tuple[Row, float]]], float]
) -> Difference:
    """Compare the means of two sets of rows.

    Args:
        variance: function that says the variance of a sum of rows' figures (`fd`, `kid`), each times a number.
    """
    if ours[0].protocol.features == EXACT:
        one, other = _mean(ours, "fd"), _mean(others, "fd")
        return Difference(0.0 if math.isclose(one, other) else one - other, 0.0)
    value, *checks = (_mean(ours, field) - _mean(others, field) for field in COMPARED)
    if abs(value) <= ROUNDING * _mean(ours, "fd"):
        value = 0.0
    agrees = all(check * value > 0 for check in checks if not math.isnan(check))
    terms = [(row, 1 / len(ours)) for row in ours] + [(row, -1 / len(others)) for row in others]
    return Difference(value, _root(variance("fd", terms)), agrees, checks[0], _root(variance("kid", terms)))


def _variance_apart(figure: str, terms: Sequence[tuple[Row, float]]) -> float:
    """Return the variance of a sum of figures of independent rows, each times a number; NaN if it is not known."""
    errors = [(getattr(row.metrics, f"{figure}_se"), factor) for row, factor in terms]
    return math.nan if any(error is None for error, _ in errors) else sum((error * by) ** 2 for error, by in errors)


def check_baseline(wanted: str, planned: Sequence[tuple[Recipe, float]]) -> None:
    """Refuse a baseline that none of these recipes can be, before there are rows.

    Args:
        planned: recipes, each with its evaluations of an image.

    Raises:
        UsageError: names the rows that there are.
    """
    lines = name_lines([recipe for recipe, _ in planned], "steps")
    rows = [*dict.fromkeys((line, f"{work:g}") for line, (_, work) in zip(lines, planned, strict=True))]
    name, _, budget = wanted.partition("@")
    if not any(line.startswith(name) and budget in ("", work) for line, work in rows):
        there = ", ".join(f"{line}@{work}" for line, work in rows)
        raise UsageError(f"no row {wanted!r} to compare with; there are: {there}")


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan


def _family(row: Row) -> tuple[str, str | None]:
    return row.recipe.sampler, row.recipe.guidance


def _mean(rows: Sequence[Row], field: str) -> float:
    """Return the mean of a metric; NaN if a row lacks it."""
    values = [getattr(row.metrics, field) for row in rows]
    return math.nan if None in values else fmean(values)
