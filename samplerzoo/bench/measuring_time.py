"""Time that measuring takes: features, distances, precision and recall. It is often longer than sampling."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np

from samplerzoo.metrics.distance_estimate import GROUPS, smallest_count

SAMPLE = 500
"""Rows and columns of the matrices that are timed."""
EIGENVECTORS = 2
"""Time of computing eigenvalues with eigenvectors, in multiples of that of eigenvalues alone."""


class MeasuringTimer:
    """Estimator of how long measuring takes. It times small matrices once, and scales up.

    Args:
        embed: function that returns the seconds for the features of one image; called once.
        dimensions: number of features.
        sample: number of real images that the kernel distance, precision and recall compare with.
        floors: True if real images are measured, too, for the floor.
    """

    def __init__(self, embed: Callable[[], float], dimensions: int, sample: int, *, floors: bool) -> None:
        self._embed = functools.cache(embed)
        self._dimensions, self._sample, self._floors = dimensions, sample, floors

    def features(self, images: int) -> float:
        """Return the seconds for the features of this many images."""
        return images * self._embed() if images else 0.0

    def row(self, images: int) -> float:
        """Return the seconds for the metrics of a row."""
        kernel, manifolds = images * (images + self._sample), images * (images + 2 * self._sample)
        halves = images * (images + self._sample)
        pairs = kernel + manifolds + halves if self._sample else 0
        return self._distance(images) + pairs * self._pair

    def once(self, images: int) -> float:
        """Return the seconds for what rows with this many images share: matrices of the reference, and the floor."""
        roots = EIGENVECTORS * self._eigenvalues
        return roots + 2 * self._sample**2 * self._pair + (self._distance(images) if self._floors else 0.0)

    def _distance(self, images: int) -> float:
        """Return the seconds for a Fréchet distance, including the jackknife if there are enough images for it."""
        passes = images * self._dimensions**2 * self._multiplication
        if images < smallest_count(self._dimensions):
            return self._eigenvalues + passes
        return (GROUPS + 3 + EIGENVECTORS) * self._eigenvalues + 3 * passes

    @functools.cached_property
    def _eigenvalues(self) -> float:
        """Seconds for the distance of one covariance: two matrix products and the eigenvalues."""
        size = min(self._dimensions, SAMPLE)
        matrix = np.random.default_rng(0).normal(size=(size, size))
        return _seconds(lambda: np.linalg.eigvalsh(matrix @ (matrix @ matrix.T))) * (self._dimensions / size) ** 3

    @functools.cached_property
    def _multiplication(self) -> float:
        """Seconds for one multiplication and addition in a matrix product."""
        matrix = np.random.default_rng(0).normal(size=(SAMPLE, SAMPLE))
        return _seconds(lambda: matrix.T @ matrix) / SAMPLE**3

    @functools.cached_property
    def _pair(self) -> float:
        """Seconds for comparing the features of two images."""
        rows = np.random.default_rng(0).normal(size=(SAMPLE, self._dimensions))
        return _seconds(lambda: (rows @ rows.T) ** 2) / SAMPLE**2


def _seconds(work: Callable[[], object]) -> float:
    """Return the seconds of the second of two calls; the first one warms up."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
