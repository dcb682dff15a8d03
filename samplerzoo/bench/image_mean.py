"""Mean of a figure that every image has one of, as its error or its score, and how sure the mean is.

Imports no torch: reports read it.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES, CONFIDENCE = 2000, 0.95
"""Number of bootstrap samples of the images, and level of the intervals that they give."""
NORMAL = 1.959963984540054
"""Standard deviations of a normal distribution in half an interval of this level."""
DECIDING = 3.0
"""Fewest images that decide how sure a mean is for it to have an interval. A sample often misses rarer ones."""
SHARED = 2**11
"""Most images whose bootstrap samples are kept for the next row, which has as many."""
BLOCK = 2**9
"""Means that are worked out at once, which bounds memory."""


def interval(values: Values, error: float | None = None) -> tuple[float, float, float]:
    """Return the mean of values (N,), and the ends of its 95% interval, the same at every call.

    No end lies outside of the values. The ends are NaN where too few images decide the mean; see `standard_errors`.

    Args:
        error: standard error of the mean, if it is known already.
    """
    mean, half = float(values.mean()), NORMAL * (standard_error(values) if error is None else error)
    low, high = np.clip([mean - half, mean + half], values.min(), values.max())
    return mean, float(low), float(high)


def standard_error(values: Values) -> float:
    """Return the standard error of the mean of values (N,); see `standard_errors`."""
    return float(standard_errors(values[:, None])[0])


def standard_errors(values: Values) -> Values:
    """Return the standard errors (M,) of the means of the columns of values (N, M), which normal 95% intervals fit.

    They are those of the symmetric bootstrap-t (Hall 1988, J. R. Statist. Soc. B 50, section 3): how far the mean of a
    bootstrap sample is off, in its own standard errors, says how far the mean of these is off in theirs. Where few
    images have large errors that is more than in a normal distribution. NaN stands where `deciding` are too few:
    nothing is known of images that are rarer than that.
    """
    if len(values) < 2:
        return np.full(values.shape[1], math.nan)
    blocks = [values[:, start : start + BLOCK] for start in range(0, values.shape[1], BLOCK)]
    found = np.concatenate([np.zeros(0), *map(_block_errors, blocks)])
    return np.where(deciding(values) < DECIDING, math.nan, found)


def deciding(values: Values) -> Values:
    """Count the images that decide how sure the means of columns of values (N, M) are: all, over the kurtosis.

    Where 3 of many images have a large value, these are 3; of a normal distribution they are a third of all; and of
    equal values none.
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
    quantile = np.quantile(off, CONFIDENCE, axis=0, method="higher")  # without arithmetic, for infinities
    return np.where(spread > 0, quantile / NORMAL * spread, 0.0)


@functools.lru_cache(maxsize=1)
def _shares(count: int, resamples: int) -> Values:
    """Return the share of each image in each bootstrap sample, (resamples, count): a row of them gives a mean."""
    drawn = np.random.default_rng(0).integers(count, size=(resamples, count))
    return np.stack([np.bincount(sample, minlength=count) for sample in drawn]) / count
