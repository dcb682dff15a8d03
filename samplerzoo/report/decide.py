"""Decisions: which differences between rows of a benchmark are significant, and how many images the others need.

A difference of two rows is significant if three conditions hold. It is large compared with its paired standard error,
after Holm's correction over all rows that are compared with the same one. The difference of the kernel distances,
which have no bias, has the same sign. And so has the difference of the distances at infinitely many images.

Code and reports use the short word "told": one row is told from another if their difference is significant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple, TypeVar

from pandas import DataFrame

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import Protocol, Row
from samplerzoo.errors import UsageError
from samplerzoo.report.difference import Difference, difference
from samplerzoo.report.line_names import name_lines
from samplerzoo.report.series import budgets
from samplerzoo.sampling.recipe import Recipe

LEVEL = 0.05
"""Probability that any difference of a column is called significant, if all of them are chance."""

SAME_NOISE = " on the same noise"
"""Words for a best row that has not the lowest figure: it is better image by image, on the seeds that both have."""

Point = tuple[str, float]
"""Index of a point: the name of its line, and its place on the axis."""

Name = TypeVar("Name", bound=Hashable)


def pairings(points: int) -> int:
    """Count the pairs of points, each of which is a comparison that Holm's correction has to allow for.

    The best point of a column is chosen by its figures, so its differences are selected from those of all pairs.
    """
    return points * (points - 1) // 2


def holm(probabilities: Sequence[float], comparisons: int | None = None) -> list[float]:
    """Correct probabilities for multiple comparisons by the method of Holm (1979), and return them in the same order.

    If differences with a result below 0.05 are called significant, the probability that any of these is chance is at
    most 0.05.

    Args:
        comparisons: number of comparisons from which these were selected; by default these are all.
    """
    adjusted, highest, count = [0.0] * len(probabilities), 0.0, comparisons or len(probabilities)
    for rank, index in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        highest = max(highest, min(1.0, (count - rank) * probabilities[index]))
        adjusted[index] = highest
    return adjusted


class Tie(NamedTuple):
    """Point that is not significantly different from the best one.

    Attributes:
        difference: this point minus the best one.
        images: images of a row at which a difference of this size would be significant; None if not known.
        careful: half the width, in standard errors, of a 95% interval that allows for all pairs of the column.
    """

    point: Point
    difference: Difference
    images: int | None
    careful: float


@dataclass(frozen=True)
class Verdict:
    """Outcome of a column, which holds the points with about the same number of evaluations.

    Attributes:
        budget: evaluations of the column.
        best: point with the lowest distance, unless another one is better on the same noise; see `lowest`.
        ties: points that are not significantly different from the best one, the lowest first.
        worse: points that are significantly worse, each with its difference to the best, the smallest first.
        where: SAME_NOISE if another point has a lower distance, else an empty text.
    """

    budget: float
    best: Point
    ties: tuple[Tie, ...]
    worse: tuple[tuple[Point, Difference], ...]
    where: str = ""

    @property
    def decided(self) -> bool:
        """True if there are other points, and all of them are significantly worse than the best one."""
        return not self.ties and bool(self.worse)

    @property
    def ranks(self) -> bool:
        """True if at least one point is significantly worse than the best one."""
        return bool(self.worse)


class Judge:
    """Judge of which points of one protocol differ significantly.

    Args:
        points: table of points, as `series.average` returns it.
        evidence: covariances of the figures of cells.
        level: probability that any difference of a column is called significant by chance.
    """

    def __init__(self, protocol: Protocol, points: DataFrame, evidence: Evidence, level: float = LEVEL) -> None:
        self.protocol, self.points, self.level = protocol, points.assign(budget=budgets(points)), level
        self.evidence = evidence
        self._rows: dict[Point, dict[int, Row]] = points["rows"].to_dict()
        self._found: dict[tuple[Point, Point], Difference] = {}

    @property
    def blind(self) -> bool:
        """True if no standard error is known, so that no difference is significant."""
        return bool(self.points["error"].isna().all())

    def difference(self, one: Point, other: Point) -> Difference:
        """Return the difference `one - other`, image by image where both share a seed."""
        if (one, other) not in self._found:
            self._found[one, other] = difference(self._rows[one], self._rows[other], self.evidence)
        return self._found[one, other]

    def verdicts(self) -> list[Verdict]:
        """Judge every column of two points or more."""
        return [self.verdict(column) for _, column in self.points.groupby("budget") if len(column) > 1]

    def verdict(self, column: DataFrame) -> Verdict:
        """Find the best point of a column, and divide the others into ties and significantly worse points."""
        ranked = [*column.sort_values("distance").index]
        among = self.comparisons(column)
        best, others = lowest(ranked, self.difference)
        judged = [*zip(others, self.told([it for _, it in others], among), strict=True)]
        ties = tuple(self.tie(other, it, among) for (other, it), apart in judged if not (apart and it.value > 0))
        worse = sorted(
            ((other, it) for (other, it), apart in judged if apart and it.value > 0), key=lambda each: each[1].value
        )
        return Verdict(float(column["budget"].iloc[0]), best, ties, tuple(worse), SAME_NOISE * (best != ranked[0]))

    def comparisons(self, points: DataFrame) -> int:
        """Count the pairs to allow for among some points: those of their whole column, if they are of one."""
        there = {*points["budget"]}
        return pairings(int((self.points["budget"] == there.pop()).sum()) if len(there) == 1 else len(points))

    def told(self, differences: Sequence[Difference], comparisons: int | None = None) -> list[bool]:
        """Tell which differences are significant: by Holm's correction, and with agreeing signs of the other metrics.

        Args:
            comparisons: number of comparisons from which these were selected; by default these are all.
        """
        corrected = holm([difference.p for difference in differences], comparisons)
        return [p < self.level and difference.agrees for p, difference in zip(corrected, differences, strict=True)]

    def baseline(self, wanted: str | None = None) -> Point:
        """Find the row that all others are compared with.

        Args:
            wanted: start of a line's name, optionally followed by `@` and a number of evaluations. Of several rows
                that match, the cheapest is taken. By default it is the cheapest row of the sampler and guidance that
                have the lowest distance.

        Raises:
            UsageError: no row matches.
        """
        if wanted is None:
            family = _family(self.points["row"].loc[self.points["distance"].idxmin()])
            found = self.points[[_family(row) == family for row in self.points["row"]]]
        else:
            rows = [(line, work) for (line, _), work in self.points["work"].items()]
            named = named_rows(wanted, rows)
            if not named:
                raise _no_row(wanted, rows)
            found = self.points[[row in named for row in rows]]
        return found.sort_values(["work", "distance"]).index[0]

    def against(self, baseline: Point, *, named: bool = False) -> DataFrame:
        """Compare every other point with the baseline.

        Args:
            named: whether a user asked for this baseline. If not, it was chosen by its figures, so that the correction
                counts all pairs of a column, as it does for the best point.

        Returns:
            Columns `value`, `error`, `kernel` and `kernel_error` of the differences, and `told`: whether they are
            significant, with Holm's correction over each column of evaluations.
        """
        found = {}
        for _, column in self.points.groupby("budget"):
            others = [point for point in column.index if point != baseline]
            differences = [self.difference(point, baseline) for point in others]
            judged = self.told(differences, None if named else pairings(len(others) + 1))
            for point, it, told in zip(others, differences, judged, strict=True):
                found[point] = it.value, it.error, told, it.kernel, it.kernel_error
        names = ["value", "error", "told", "kernel", "kernel_error"]
        table = DataFrame.from_dict(found, orient="index", columns=names)
        return table.reindex([*self.points.index])

    def unpaired(self, baseline: Point) -> int:
        """Count the points that share seeds with the baseline, but whose covariance with it is not known."""
        own = self._rows[baseline]
        others = [rows for point, rows in self._rows.items() if point != baseline and rows.keys() & own.keys()]
        return sum(not any(self._paired(rows[it], own[it]) for it in rows.keys() & own.keys()) for rows in others)

    def _paired(self, one: Row, other: Row) -> bool:
        """Tell whether the covariance of two rows is known."""
        return not math.isnan(self.evidence.between("fd", [one.cell, other.cell])[0, 1])

    def tie(self, point: Point, found: Difference, comparisons: int) -> Tie:
        """Say of a difference that is not significant how many images would make it so."""
        careful = bonferroni(self.level, comparisons)
        return Tie(point, found, images_needed(self.protocol.images, found, careful), careful)


def bonferroni(level: float, comparisons: int) -> float:
    """Return the standard errors from 0 at which one of so many differences is significant (Bonferroni)."""
    return NormalDist().inv_cdf(1 - level / 2 / comparisons)


def images_needed(images: int | None, difference: Difference, careful: float) -> int | None:
    """Return how many images a row needs to make a difference of this size significant, rounded up to two digits.

    The number is that of each seed, with the same seeds. It is None if it is not known.

    Args:
        images: images of each seed of a row.
        careful: standard errors from 0 at which the difference is significant.
    """
    if images is None or math.isnan(difference.error) or not difference.value:
        return None
    exact = max(images * (careful * difference.error / difference.value) ** 2, 1.0)
    digit = 10 ** max(math.floor(math.log10(exact)) - 1, 0)
    return math.ceil(exact / digit) * digit


def lowest(
    ranked: Sequence[Name], compare: Callable[[Name, Name], Difference]
) -> tuple[Name, list[tuple[Name, Difference]]]:
    """Find the best of a column, and compare the others with it.

    The best point is the first one, unless another has a negative difference to it: then the first one is lower by the
    luck of seeds that the other lacks, and higher on the same noise.

    Args:
        ranked: points, the lowest first.
        compare: function that returns the difference of two points.

    Returns:
        The best point, and each other point with its difference to the best.
    """
    best = ranked[0]
    passed: set[Name] = set()
    while True:
        others = [(point, compare(point, best)) for point in ranked if point != best]
        better = [(it.value, place) for place, (point, it) in enumerate(others) if it.value < 0 and point not in passed]
        if not better:
            return best, others
        passed.add(best)
        best = others[min(better)[1]][0]


def check_baseline(wanted: str, planned: Sequence[tuple[Recipe, float]]) -> None:
    """Refuse a baseline that none of the planned recipes matches, before any row is measured.

    Args:
        wanted: baseline, as for `Judge.baseline`.
        planned: recipes, each with its evaluations per image.

    Raises:
        UsageError: no recipe matches; the message lists the planned rows.
    """
    lines = name_lines([recipe for recipe, _ in planned], "steps")
    rows = [(str(line), work) for line, (_, work) in zip(lines, planned, strict=True)]
    if not named_rows(wanted, rows):
        raise _no_row(wanted, rows)


def named_rows(wanted: str, rows: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the rows, each a line and its evaluations, that a baseline names: `LINE`, `LINE@EVALUATIONS`, or a start.

    A whole name goes before one that only starts with it. Names may have an `@` of their own.
    """
    head, _, tail = wanted.rpartition("@")
    for name, budget in ((wanted, ""), (head, tail)):
        own = [row for row in rows if row[0] == name] or [row for row in rows if name and row[0].startswith(name)]
        found = [row for row in own if budget in ("", f"{row[1]:g}")]
        if found:
            return found
    return []


def _no_row(wanted: str, rows: Sequence[tuple[str, float]]) -> UsageError:
    there = ", ".join(dict.fromkeys(f"{line}@{work:g}" for line, work in rows))
    return UsageError(f"no row {wanted!r} to compare with; there are: {there}")


def _family(row: Row) -> tuple[str, str | None]:
    return row.recipe.sampler, row.recipe.guidance
