"""Differences of the distances of rows, with their errors: image by image where rows were made from the same noise.

A row is the mean over all of its seeds. Of two rows with the same seeds the difference is that of these means. Where a
row has further seeds, these count for less the more alike the images of both rows are (see `weights`).

If an error is not known, the difference is not significant. If the errors of both rows are known, but not their
covariance, the rows are taken as independent, which makes fewer differences significant.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import EXACT, Row

COMPARED = ("fd_jackknifed", "kid", "fd_infinity")
"""Metrics whose differences must have the same sign; the first one is shown."""

ROUNDING = 1e-4
"""Largest relative difference of distances that counts as none: other batches alone make as much, by rounding."""

EQUAL = 1e-9
"""Largest relative difference of exact distances that counts as none: the default of `math.isclose`."""

Matrix = NDArray[np.float64]

Seeded = Mapping[int, Row]
"""Rows of a point, by seed."""

Rows = Sequence[Sequence[Row | None]]
"""Rows by seed and point; None where a point has no row of a seed."""


@dataclass(frozen=True)
class Difference:
    """Difference of the distances of two points, `one - other`.

    Attributes:
        value: the difference.
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


def difference(mine: Seeded, theirs: Seeded, evidence: Evidence) -> Difference:
    """Return the difference of two points, `mine - theirs`; see `differences`."""
    found = differences([mine, theirs], evidence)
    return Difference(*(each[0, 1].item() for each in found))


class Differences(NamedTuple):
    """Differences of all pairs of points, `one - other`, each attribute as (one, other); see `Difference`."""

    value: Matrix
    error: Matrix
    agrees: NDArray[np.bool_]
    kernel: Matrix
    kernel_error: Matrix


def differences(points: Sequence[Seeded], evidence: Evidence) -> Differences:
    """Return the differences of all pairs of points.

    Rows of one seed are compared image by image if their covariance is known. If it is not, they count as independent,
    which overestimates the error of their difference if they share noise.

    Args:
        evidence: covariances of the figures of their cells.
    """
    rows = by_seed(points)
    pairs = Pairs(rows, "fd", evidence)

    def between(field: str) -> tuple[Matrix, Matrix]:
        return pairs.between(_of_rows(rows, field))

    exact = next(iter(points[0].values())).protocol.features == EXACT
    plain, mean = between("fd")
    value, kernel, infinity = (between(field)[0] for field in COMPARED)
    value = plain if exact else np.where(np.isnan(value), plain, value)
    value = np.where(abs(value) <= (EQUAL if exact else ROUNDING) * mean, 0.0, value)
    agrees = np.all([np.isnan(check) | (check * value > 0) for check in (kernel, infinity)], axis=0)
    return Differences(
        value,
        np.zeros_like(value) if exact else pairs.error(_of_rows(rows, "fd_se")),
        agrees,
        kernel,
        pairs.error(_of_rows(rows, "kid_se"), covariances(rows, "kid", evidence)),
    )


def by_seed(points: Sequence[Seeded]) -> Rows:
    """Arrange the rows of points by seed."""
    return [[own.get(seed) for own in points] for seed in sorted({*itertools.chain.from_iterable(points)})]


def covariances(rows: Rows, figure: str, evidence: Evidence) -> Matrix:
    """Return the covariance of the rows of each seed and pair, (seeds, points, points); NaN where it is not known."""
    return np.array([evidence.between(figure, [row.cell if row else None for row in own]) for own in rows])


class Pairs:
    """Pairs of points, each compared over all seeds of both; see `weights`.

    Args:
        rows: rows of the points.
        figure: figure by whose covariances the seeds are weighted.
        evidence: covariances of the figures of their cells.
    """

    def __init__(self, rows: Rows, figure: str, evidence: Evidence) -> None:
        there = np.array([[row is not None for row in own] for own in rows])
        self._covariance = covariances(rows, figure, evidence)
        self._paired, self._weight = ~np.isnan(self._covariance), weights(there, self._covariance)

    def between(self, values: Matrix) -> tuple[Matrix, Matrix]:
        """Return the difference of each pair, and the mean of its first point, from the values of rows."""
        mean = (self._weight * values[:, :, None]).sum(axis=0)
        return mean - mean.T, mean

    def error(self, alone: Matrix, covariance: Matrix | None = None) -> Matrix:
        """Return the standard error of the difference of each pair.

        Args:
            alone: standard error of each row, (seeds, points), which counts where rows are not paired. Where it is NaN,
                the variance of the evidence counts.
            covariance: covariance of the rows of each pair, see `covariances`; by default that of the figure by which
                the seeds are weighted.
        """
        covariance = self._covariance if covariance is None else covariance
        by_itself = np.square(alone)[:, :, None]
        own = self._weight**2 * np.where(self._paired | np.isnan(by_itself), _variances(covariance), by_itself)
        both = np.where(self._paired, self._weight * self._weight.swapaxes(1, 2) * covariance, 0.0)
        total = own.sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.sqrt(total + total.T - 2 * both.sum(axis=0))


def weights(there: NDArray[np.bool_], covariance: Matrix) -> Matrix:
    """Return the weight of each seed in the mean of the first point of each pair, (seeds, points, points).

    Of two points A and B, k seeds are paired, and A and B have m and l further ones, whose rows are independent. The
    paired seeds have the share u of the mean of A, and v of that of B. With a covariance c of paired rows, and their
    variances s and t, all as means over the seeds, the difference of the means has the least variance for

        u = (k + v m c / s) / (k + m),    v = (k + u l c / t) / (k + l).

    Without covariance all seeds of a row count alike. The more alike both rows are, the more the paired seeds count,
    up to all: c / s and c / t count as 1 where they are larger, so that no weight is below 0.

    Args:
        there: whether each point has a row of each seed, (seeds, points).
        covariance: covariance of the rows of each pair of points and seed; NaN if they are not paired.
    """
    paired = ~np.isnan(covariance)
    k = paired.sum(axis=0)
    m = there.sum(axis=0)[:, None] - k
    variance = np.where(paired, _variances(covariance), 0.0).sum(axis=0)
    slope = np.divide(np.nansum(covariance, axis=0), variance, out=np.zeros(k.shape), where=variance > 0).clip(0, 1)
    share = k * (k + m.T + m * slope) / ((k + m) * (k + m.T) - m * m.T * slope * slope.T)
    own = np.divide(1 - share, m, out=np.zeros(k.shape), where=m > 0)
    return np.where(paired, share / np.maximum(k, 1), own) * there[:, :, None]


def _variances(covariance: Matrix) -> Matrix:
    """Return the variance of the first row of each pair, (seeds, points, 1)."""
    return np.diagonal(covariance, axis1=1, axis2=2)[:, :, None]


def _of_rows(rows: Rows, field: str) -> Matrix:
    """Return a metric of rows, (seeds, points): NaN where a row lacks it, and 0 where there is no row."""
    values = [[0.0 if row is None else getattr(row.metrics, field) for row in own] for own in rows]
    return np.array(values, dtype=float)


def _mean(rows: Sequence[Row], field: str) -> float:
    """Return the mean of a metric; NaN if a row lacks it."""
    values = [getattr(row.metrics, field) for row in rows]
    return math.nan if None in values else fmean(values)
