"""Improved precision and recall (Kynkäänniemi et al. 2019): share of one set that lies in the other's manifold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.feature_files import Rows, Values
from samplerzoo.metrics.influence import Labels, groups

NEIGHBOURS = 3
"""Number of the nearest neighbour that a ball reaches to."""

GROUPS = 16
"""Number of groups of images that are put together to halves. It has to be a power of 2."""

ENOUGH = 4 * GROUPS
"""Least number of images for an error of recall."""

HADAMARD = np.array([[(i & j).bit_count() % 2 == 0 for j in range(GROUPS)] for i in range(GROUPS)])
"""Sets of groups, True for those that are in: all of them, and halves. Any two are in the same half equally often."""

WHOLE = np.ones((1, 1), dtype=np.bool_)
"""Set of the only group."""

Distances = NDArray[np.float64]
"""Squared distances."""


class PrecisionRecall(NamedTuple):
    """Precision and recall of images, shares in [0, 1].

    Attributes:
        precision: share of generated images that look real.
        recall: share of real images that could be generated.
        recall_error: standard error of recall, for other generated images and the same real ones; None with too few.
    """

    precision: float
    recall: float
    recall_error: float | None


class Manifold:
    """Union of balls around features, each reaching to the third nearest neighbour. It needs at least four features."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._radii = [radii for _, radii in _balls(rows, np.zeros(len(rows), dtype=np.int64), WHOLE)]

    def coverage(self, points: Rows) -> float:
        """Return the share of points that lie in at least one ball."""
        return float(_coverage(points, zip(self.rows.blocks(), self._radii, strict=True))[0])


def precision_recall(fake: Rows, real: Manifold, labels: Labels | None = None) -> PrecisionRecall:
    """Measure precision and recall. Both depend on the number of images, so compare them at equal counts only.

    A half has a lower recall than all images, and two halves of them have the same on average. The mean square of half
    their difference is the variance of recall, over pairs of balanced halves (McCarthy 1969).

    Args:
        fake: features of generated images.
        labels: their classes (N,), in fixed proportion; None if they belong to none.
    """
    precision = real.coverage(fake)
    if len(fake) < ENOUGH:
        return PrecisionRecall(precision, Manifold(fake).coverage(real.rows), None)
    sets = np.concatenate([HADAMARD, ~HADAMARD[1:]])
    recall, *halves = _coverage(real.rows, _balls(fake, groups(labels, len(fake), GROUPS), sets))
    one, other = np.reshape(halves, (2, -1))
    return PrecisionRecall(precision, float(recall), float(np.sqrt(np.mean((one - other) ** 2)) / 2))


def _coverage(points: Rows, balls: Iterable[tuple[Values, Distances]]) -> NDArray[np.float64]:
    """Return the share of points in at least one ball, for each set of balls.

    Args:
        balls: blocks of centres (n, D), and the squared radii (sets, n) of the balls in each set.
    """
    found: NDArray[np.bool_] | None = None
    for y, sets in balls:
        found = np.zeros((len(sets), len(points)), dtype=np.bool_) if found is None else found
        start = 0
        for x in points.blocks():
            distances = _squared(x, y)
            for inside, radii in zip(found[:, start : start + len(x)], sets, strict=True):
                inside |= (distances <= radii).any(axis=1)
            start += len(x)
    assert found is not None, "a manifold of no features"
    return found.mean(axis=1)


def _balls(rows: Rows, group: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Iterator[tuple[Values, Distances]]:
    """Yield blocks of features (n, D), and the squared distances (sets, n) to their third nearest neighbours in a set.

    Args:
        group: group (N,) of each feature.
        chosen: sets of groups (sets, groups). The distance of a feature that is not in a set is negative.
    """
    place = 0
    for i, x in enumerate(rows.blocks("precision and recall")):
        nearest, start = np.full((len(x), chosen.shape[1], NEIGHBOURS), np.inf), 0
        for j, y in enumerate(rows.blocks()):
            distances, own = _squared(x, y), group[start : start + len(y)]
            if i == j:
                np.fill_diagonal(distances, np.inf)
            for number in np.unique(own):
                both = np.concatenate([nearest[:, number], distances[:, own == number]], axis=1)
                nearest[:, number] = _smallest(both)
            start += len(y)
        own, place = group[place : place + len(x)], place + len(x)
        third = (_smallest(nearest[:, some].reshape(len(x), -1)).max(axis=1) for some in chosen)
        yield x, np.stack([np.where(some[own], radii, -1.0) for some, radii in zip(chosen, third, strict=True)])


def _smallest(distances: Distances) -> Distances:
    """Return the smallest distances of each row, in any order."""
    return np.partition(distances, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]


def _squared(x: NDArray[np.floating], y: NDArray[np.floating]) -> Distances:
    """Return squared distances (N, M), computed in float64 because they are differences of large numbers."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    found: Distances = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return found.clip(min=0)
