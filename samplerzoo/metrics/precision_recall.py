"""Improved precision and recall (Kynkäänniemi et al. 2019): shares of one set that lie within the other's manifold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.feature_files import Rows

NEIGHBOURS = 3

Distances = NDArray[np.float64]


class Manifold:
    """A ball about each of at least four features, that reaches to its third neighbour."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._radii = np.concatenate(_radii(rows))

    def coverage(self, points: Rows) -> float:
        """The share of points that lie in a ball."""
        inside = 0
        for x in points.blocks():
            found, start = np.zeros(len(x), dtype=bool), 0
            for y in self.rows.blocks():
                found |= (_squared(x, y) <= self._radii[start : start + len(y)]).any(axis=1)
                start += len(y)
            inside += int(found.sum())
        return inside / len(points)


def precision_recall(fake: Manifold, real: Manifold) -> tuple[float, float]:
    """How many generated images look real, and how many of the real could have been generated.

    Both shares depend on how many images there are: compare at equal counts alone.
    """
    return real.coverage(fake.rows), fake.coverage(real.rows)


def _radii(rows: Rows) -> list[Distances]:
    """Squared distance of each feature to its third neighbour, a block at a time."""
    found = []
    for i, x in enumerate(rows.blocks()):
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
    """Squared distances (N, M), in float64: they are differences of large numbers."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    found: Distances = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return found.clip(min=0)
