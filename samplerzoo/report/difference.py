"""Differences of the distances of two rows, with their errors: image by image where both were made from the same noise.

If an error is not known, the difference is not significant. If the errors of both rows are known, but not their
covariance, the rows are taken as independent, which makes fewer differences significant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import EXACT, Row

COMPARED = ("fd_jackknifed", "kid", "fd_infinity")
"""Metrics whose differences must have the same sign; the first one is shown."""

ROUNDING = 1e-4
"""Largest relative difference of distances that counts as none: other batches alone make as much, by rounding."""


@dataclass(frozen=True)
class Difference:
    """Difference of the distances of two points, `one - other`.

    Attributes:
        value: the difference, over the seeds that both have, if they have any in common.
        error: standard error; NaN if it is not known.
        agrees: whether the differences of kernel distance and distance at infinity, where known, have the same sign.
        kernel, kernel_error: difference of the kernel distances, and its standard error.
        p: probability that chance alone makes a difference at least as large; 1 if the error is not known.
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


def distance_of(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the mean distance of rows of several seeds, and its standard error, NaN if that is not known.

    The distance is the jackknifed one if all rows have it, otherwise the plain one.
    """
    removed = _mean(rows, COMPARED[0])
    distance = _mean(rows, "fd") if math.isnan(removed) else removed
    errors = [math.nan if row.metrics is None or row.metrics.fd_se is None else row.metrics.fd_se for row in rows]
    return distance, 0.0 if rows[0].protocol.features == EXACT else math.hypot(*errors) / len(errors)


def difference(mine: Mapping[int, Row], theirs: Mapping[int, Row], evidence: Evidence) -> Difference:
    """Return the difference of two points, `mine - theirs`, over the seeds that both have, if there are any.

    Rows whose covariance is not known are compared as if they were independent, over all seeds. If they share noise,
    this overestimates the error of their difference.

    Args:
        mine, theirs: rows of each point, by seed.
        evidence: covariances of the figures of their cells.
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
    """Return the difference of the means of two sets of rows.

    Args:
        variance: function that returns the variance of a weighted sum of one figure (`fd` or `kid`) over rows.
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
    """Return the variance of a weighted sum of one figure over independent rows; NaN if it is not known."""
    errors = [(getattr(row.metrics, f"{figure}_se"), factor) for row, factor in terms]
    return math.nan if any(error is None for error, _ in errors) else sum((error * by) ** 2 for error, by in errors)


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan


def _mean(rows: Sequence[Row], field: str) -> float:
    """Return the mean of a metric; NaN if a row lacks it."""
    values = [getattr(row.metrics, field) for row in rows]
    return math.nan if None in values else fmean(values)
