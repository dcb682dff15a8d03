"""Influence values: how far each image moves a figure. Their spread is the figure's standard error.

When images change, a figure that is smooth in their distribution changes by the mean of the influence values (Hampel
1974). Rows that share noise and labels have correlated influence values. So the error of a difference between two rows
comes from the differences of these values, image by image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.frechet import Array, DistanceTo, FeatureMoments

NORMAL_95 = 1.959964
"""Half-width of a 95% interval in standard errors."""

Labels = Sequence[int] | NDArray[np.int64]


def frechet_influence(rows: Rows, moments: FeatureMoments, to: DistanceTo) -> Array:
    """Return the influence (N,) of each image on a Fréchet distance, with mean 0.

    IF(x) = 2 (mu - mu_r).(x - mu) + (x - mu)^T (I - T) (x - mu) - mean, with the derivatives of `DistanceTo.slopes`.

    Args:
        rows: features of the images.
        moments: their moments.
    """
    by_mean, by_covariance = to.slopes(moments)
    found = []
    for block in rows.blocks():
        x = np.asarray(block, dtype=np.float64) - moments.mean
        found.append(x @ by_mean + ((x @ by_covariance) * x).sum(axis=1))
    values = np.concatenate(found)
    return values - values.mean()


def covariance_of_means(influences: Array, labels: Labels | None) -> Array:
    """Return the covariance (R, R) of R figures, from the influence values (N, R) of N images on them.

    Images have their classes in fixed proportion, so only the spread within a class counts: the sum over classes of
    (n_k / N)^2 cov_k / n_k. All classes with a single image are merged into one.

    Args:
        labels: classes (N,); None if images belong to none.
    """
    n, width = influences.shape
    total = np.zeros((width, width))
    for stratum in strata(labels, n):
        if len(stratum) > 1:
            deviations = influences[stratum] - influences[stratum].mean(axis=0)
            total += deviations.T @ deviations * (len(stratum) / (len(stratum) - 1))
    return total / n**2


def standard_error(influence: Array, labels: Labels | None) -> float:
    """Return the standard error of one figure from its influence values (N,)."""
    return float(np.sqrt(covariance_of_means(influence[:, None], labels)[0, 0]))


def strata(labels: Labels | None, count: int) -> list[NDArray[np.int64]]:
    """Return the indices of the images of each class. All classes with a single image are merged into one."""
    if labels is None:
        return [np.arange(count)]
    _, owner, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    alone = sizes == 1
    several = [np.flatnonzero(owner == k) for k in np.flatnonzero(~alone)]
    return [*several, np.flatnonzero(alone[owner])] if alone.any() else several


def groups(labels: Labels | None, count: int, number: int) -> NDArray[np.int64]:
    """Deal images into groups of equal size and equal mix of classes; return the group (N,) of each."""
    order = np.arange(count) if labels is None else np.argsort(np.asarray(labels), kind="stable")
    found = np.empty(count, dtype=np.int64)
    found[order] = np.arange(count) % number
    return found
