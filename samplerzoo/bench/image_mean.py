"""Mean of a figure of single images, such as an error or a score, with its uncertainty.

Imports no torch: reports read it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

Interval = tuple[float, float | None, float | None]
"""Mean, and the ends of its interval, which are None if they are not known."""

RESAMPLES, CONFIDENCE = 2000, 0.95
"""Number of bootstrap samples of the images, and confidence level of the intervals."""
NORMAL = 1.959963984540054
"""Half-width of an interval of this level around the mean of a normal distribution, in standard deviations."""
DECIDING = 3.0
"""Least effective number of images (see `deciding`) for which a mean has an interval."""
SHARED = 2**11
"""Most images for which the bootstrap samples are cached, for the next row with as many images."""
BLOCK = 2**9
"""Columns whose errors are computed at once, to bound memory."""


def interval(values: Values, error: float | None = None) -> tuple[float, float, float]:
    """Return the mean of values (N,) and the ends of its 95% interval. Every call gives the same interval.

    The ends lie between the least and the greatest value. They are NaN if too few images decide the mean; see
    `deciding`.

    Args:
        error: standard error of the mean, if it is known already.
    """
    mean, half = float(values.mean()), NORMAL * (standard_error(values) if error is None else error)
    low, high = np.clip([mean - half, mean + half], values.min(), values.max())
    return mean, float(low), float(high)


def pooled(means: Sequence[Interval]) -> tuple[float, float, float]:
    """Return the mean of the means of several seeds, and the ends of its 95% interval; NaN if that of one is not known.

    Args:
        means: each mean with the ends of its interval, which are None if they are not known.
    """
    mean = fmean(value for value, _, _ in means)
    if len(means) == 1:
        low, high = (math.nan if end is None else end for end in means[0][1:])
        return mean, low, high
    half = NORMAL * math.hypot(*map(error_of, means)) / len(means)
    return mean, mean - half, mean + half


def error_of(mean: Interval) -> float:
    """Return the standard error that gives a mean its interval; NaN if it has none."""
    _, low, high = mean
    return math.nan if low is None or high is None else (high - low) / 2 / NORMAL


def standard_error(values: Values) -> float:
    """Return the standard error of the mean of values (N,); see `standard_errors`."""
    return float(standard_errors(values[:, None])[0])


def standard_errors(values: Values) -> Values:
    """Return the standard errors (M,) of the column means of values (N, M), from which 95% intervals are computed.

    They are scaled so that the mean plus or minus `NORMAL` errors is the interval of the symmetric bootstrap-t (Hall
    1988, J. R. Statist. Soc. B 50, section 3). There, the deviation of a bootstrap sample's mean, in standard errors of
    that sample, estimates the deviation of the actual mean in its own standard errors. Its quantiles are larger than
    normal ones if a few images have large values. The result is NaN where fewer than `DECIDING` images decide: such a
    sample may have missed rarer images.
    """
    if len(values) < 2:
        return np.full(values.shape[1], math.nan)
    blocks = [values[:, start : start + BLOCK] for start in range(0, values.shape[1], BLOCK)]
    found = np.concatenate([np.zeros(0), *map(_block_errors, blocks)])
    return np.where(deciding(values) < DECIDING, math.nan, found)


def deciding(values: Values) -> Values:
    """Return the number of images that decide the errors of the column means of values (N, M), as N / kurtosis (M,).

    It is about 3 if 3 of many images have a large value, N / 3 for a normal distribution, and 0 if all are equal.
    """
    squares = np.square(values - values.mean(axis=0))
    fourth = np.square(squares).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(fourth > 0, np.square(squares.sum(axis=0)) / fourth, 0.0)


def _block_errors(values: Values) -> Values:
    """Return the standard errors (M,) of columns (N, M)."""
    count = len(values)
    from_mean = values - values.mean(axis=0)
    if count <= SHARED:
        means, squares = (_shares(count, RESAMPLES) @ each for each in (from_mean, np.square(from_mean)))
    else:
        rng = np.random.default_rng(0)
        drawn = (from_mean[rng.integers(count, size=count)] for _ in range(RESAMPLES))
        moments = [(sample.mean(axis=0), np.square(sample).mean(axis=0)) for sample in drawn]
        means, squares = (np.stack(each) for each in zip(*moments, strict=True))
    own = np.sqrt(np.maximum(squares - np.square(means), 0.0) / (count - 1))
    with np.errstate(divide="ignore", invalid="ignore"):  # a sample of equal values has no standard error
        off = np.nan_to_num(np.abs(means) / own, nan=0.0, posinf=math.inf)
    spread = from_mean.std(axis=0, ddof=1) / math.sqrt(count)
    quantile = np.quantile(off, CONFIDENCE, axis=0, method="higher")  # interpolating would turn infinities into NaN
    return np.where(spread > 0, quantile / NORMAL * spread, 0.0)


@functools.lru_cache(maxsize=1)
def _shares(count: int, resamples: int) -> Values:
    """Return the weight of each image in the mean of each bootstrap sample, (resamples, count)."""
    drawn = np.random.default_rng(0).integers(count, size=(resamples, count))
    return np.stack([np.bincount(sample, minlength=count) for sample in drawn]) / count
