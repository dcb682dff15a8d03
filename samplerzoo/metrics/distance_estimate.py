"""Fréchet distance of a set of images as an estimate: bias removed, with its error and the limit of many images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from samplerzoo.metrics.feature_files import Rows, progress
from samplerzoo.metrics.frechet import Array, DistanceTo, FeatureMoments
from samplerzoo.metrics.influence import Labels, frechet_influence, groups, standard_error

GROUPS = 10
"""Number of groups of images that the jackknife leaves out in turn."""

ENOUGH = 2
"""Least images per feature for an error. Then half of the images have a covariance of full rank, too."""


@dataclass(frozen=True, eq=False)
class DistanceEstimate:
    """Fréchet distance of n images, and estimates of the distance of infinitely many images.

    Attributes:
        plain: distance of these images, which is too large by about c / n, with a c that depends on the images.
        jackknifed: distance without this bias; None with too few images.
        at_infinity: distance of infinitely many images, by a line in 1 / n through n / 2 and n images (Chong and
            Forsyth 2020), as a check.
        influence: influence values (N,).
        error: standard error.
    """

    plain: float
    jackknifed: float | None = None
    at_infinity: float | None = None
    influence: Array | None = None
    error: float | None = None


def smallest_count(dimensions: int) -> int:
    """Return the least number of images for which a distance in these dimensions has an error."""
    return max(ENOUGH * dimensions, 2 * GROUPS)


def estimate_distance(rows: Rows, moments: FeatureMoments, labels: Labels | None, to: DistanceTo) -> DistanceEstimate:
    """Estimate a distance. The groups of the jackknife have the same mix of classes.

    Args:
        rows: features of the images.
        moments: their moments.
    """
    plain = to(moments)
    if moments.count < smallest_count(rows.dimensions):
        return DistanceEstimate(plain)
    group = groups(labels, len(rows), GROUPS)
    left_out, halves = [], dict[int, FeatureMoments]()
    for number in progress(range(GROUPS), "Fréchet distance"):
        own = FeatureMoments.merged(FeatureMoments.of(part) for part in _chosen(rows, group == number))
        left_out.append(to(moments.without(own)))
        half = number % 2
        halves[half] = halves[half].merge(own) if half in halves else own
    influence = frechet_influence(rows, moments, to)
    return DistanceEstimate(
        plain,
        jackknifed=GROUPS * plain - (GROUPS - 1) * fmean(left_out),
        at_infinity=2 * plain - fmean(to(half) for half in halves.values()),
        influence=influence,
        error=standard_error(influence, labels),
    )


def _chosen(rows: Rows, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the chosen rows, block by block."""
    start = 0
    for block in rows.blocks():
        part = block[chosen[start : start + len(block)]]
        start += len(block)
        if len(part):
            yield part
