"""Improved precision and recall (Kynkäänniemi et al. 2019): share of one set that lies in the other's manifold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.feature_files import Rows

NEIGHBOURS = 3
"""Number of the nearest neighbour that a ball reaches to."""

Distances = NDArray[np.float64]
"""Squared distances."""


class Manifold:
    """Union of balls around features, each reaching to the third nearest neighbour. It needs at least four features."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._radii = np.concatenate(_radii(rows))

    def coverage(self, points: Rows) -> float:
        """Return the share of points that lie in at least one ball."""
        inside = 0
        for x in points.blocks():
            found, start = np.zeros(len(x), dtype=bool), 0
            for y in self.rows.blocks():
                found |= (_squared(x, y) <= self._radii[start : start + len(y)]).any(axis=1)
                start += len(y)
            inside += int(found.sum())
        return inside / len(points)


def precision_recall(fake: Manifold, real: Manifold) -> tuple[float, float]:
    """Return the share of generated images that look real, and the share of real images that could be generated.

    Both depend on the number of images, so compare them at equal counts only.
    """
    return real.coverage(fake.rows), fake.coverage(real.rows)


def _radii(rows: Rows) -> list[Distances]:
    """Return the squared distance of each feature to its third nearest neighbour, as one array per block."""
    found = []
    for i, x in enumerate(rows.blocks("precision and recall")):
        nearest = np.full((len(x), NEIGHBOURS), np.inf)
        for j, y in enumerate(rows.blocks()):
            distances = _squared(x, y)
            if i == j:
                np.fill_diagonal(distances, np.inf)
            both = np.concatenate([nearest, distances], axis=1)
            nearest = np.partition(both, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        found.append(nearest.max(axis=1))
    return found


def _squared(x: NDArray[np.floating], y: NDArray[np.floating]) -> Distances:
    """Return squared distances (N, M), computed in float64 because they are differences of large numbers."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    found: Distances = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return found.clip(min=0)
