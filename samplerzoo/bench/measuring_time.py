"""Time that measuring takes: features, distances, precision and recall. It is often longer than sampling."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np

from samplerzoo.metrics.distance_estimate import GROUPS, smallest_count

SAMPLE = 500
"""Rows, or dimensions, of the matrices that are timed."""
EIGENVECTORS = 2
"""Time of eigenvalues with their vectors, in times of the eigenvalues alone."""


class MeasuringTimer:
    """Estimates how long measuring takes, from small matrices that are timed once and scaled up.

    Args:
        embed: seconds that the features of an image take; called once.
        dimensions: number of features.
        sample: real images that the kernel distance, precision and recall compare with.
        floors: whether real images are measured as the generated ones are.
    """

    def __init__(self, embed: Callable[[], float], dimensions: int, sample: int, *, floors: bool) -> None:
        self._embed = functools.cache(embed)
        self._dimensions, self._sample, self._floors = dimensions, sample, floors

    def features(self, images: int) -> float:
        """Return the seconds of the features of so many images."""
        return images * self._embed() if images else 0.0

    def row(self, images: int) -> float:
        """Return the seconds of the metrics of a row."""
        pairs = images * (images + self._sample) + images * (images + 2 * self._sample) if self._sample else 0
        return self._distance(images) + pairs * self._pair

    def once(self, images: int) -> float:
        """Return the seconds of what all rows of so many images share: the reference's own matrices, and the floor."""
        roots = EIGENVECTORS * self._eigenvalues
        return roots + 2 * self._sample**2 * self._pair + (self._distance(images) if self._floors else 0.0)

    def _distance(self, images: int) -> float:
        """Return the seconds of a Fréchet distance, with those of the jackknife if there are images enough."""
        passes = images * self._dimensions**2 * self._multiplication
        if images < smallest_count(self._dimensions):
            return self._eigenvalues + passes
        return (GROUPS + 3 + EIGENVECTORS) * self._eigenvalues + 3 * passes

    @functools.cached_property
    def _eigenvalues(self) -> float:
        """Seconds of the distance of one covariance: two products and the eigenvalues."""
        size = min(self._dimensions, SAMPLE)
        matrix = np.random.default_rng(0).normal(size=(size, size))
        return _seconds(lambda: np.linalg.eigvalsh(matrix @ (matrix @ matrix.T))) * (self._dimensions / size) ** 3

    @functools.cached_property
    def _multiplication(self) -> float:
        """Seconds of one multiplication and addition in a product of matrices."""
        matrix = np.random.default_rng(0).normal(size=(SAMPLE, SAMPLE))
        return _seconds(lambda: matrix.T @ matrix) / SAMPLE**3

    @functools.cached_property
    def _pair(self) -> float:
        """Seconds that the comparison of two images takes."""
        rows = np.random.default_rng(0).normal(size=(SAMPLE, self._dimensions))
        return _seconds(lambda: (rows @ rows.T) ** 2) / SAMPLE**2


def _seconds(work: Callable[[], object]) -> float:
    """Time the second of two calls, since the first warms up."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
