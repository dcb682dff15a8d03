"""Kernel distance (Binkowski et al. 2018): unbiased squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.frechet import Array


@dataclass(frozen=True, eq=False)
class KernelEstimate:
    """Kernel distance of a set of images.

    Attributes:
        value: unbiased estimate, which may be negative.
        influence: influence values (N,) of the images, with mean 0; see `samplerzoo.metrics.influence`.
        real_error: part of the standard error that comes from the choice of the real images.
    """

    value: float
    influence: Array
    real_error: float


def kernel_distance(fake: Rows, real: Rows, real_sums: Array | None = None) -> KernelEstimate:
    """Estimate the kernel distance from all pairs of images, block by block.

    The kernel is k(x, y) = (x.y / D + 1)^3. The distance is the mean of k over pairs of different generated images,
    less twice the mean over pairs of a generated and a real one, plus the mean over pairs of different real ones.

    Args:
        fake, real: at least two features each.
        real_sums: `kernel_sums(real, None)`, if they are known.
    """
    n, m = len(fake), len(real)
    within = kernel_sums(real, None) if real_sums is None else real_sums
    own, real_own = kernel_sums(fake, None) / (n - 1), within / (m - 1)
    across, real_across = kernel_sums(fake, real) / m, kernel_sums(real, fake) / n
    value = own.mean() - 2 * across.mean() + real_own.mean()
    # twice: in a pair of its own set an image stands in either place, and the mixed term of the distance has a 2
    influence = 2 * (own - across)
    return KernelEstimate(
        float(value),
        influence - influence.mean(),
        real_error=float(np.std(2 * (real_own - real_across), ddof=1) / np.sqrt(m)),
    )


def kernel_sums(rows: Rows, others: Rows | None) -> Array:
    """Return for each row the sum (N,) of its kernel with all rows of `others`, or if None with all other rows."""
    found = []
    for i, x in enumerate(map(_lifted, rows.blocks("kernel distance"))):
        sums = np.zeros(len(x))
        for j, y in enumerate(map(_lifted, (rows if others is None else others).blocks())):
            kernel = _cubed(x @ y.T)
            if others is None and i == j:
                np.fill_diagonal(kernel, 0)
            sums += kernel.sum(axis=1)
        found.append(sums)
    return np.concatenate(found)


def _lifted(a: NDArray[np.floating]) -> Array:
    """Map features (N, D) to (N, D + 1), so that scalar products are the base x.y / D + 1 of the kernel."""
    n, D = a.shape
    return np.concatenate([a / np.sqrt(np.float64(D)), np.ones((n, 1))], axis=1, dtype=np.float64)


def _cubed(base: Array) -> Array:
    return base * base * base
