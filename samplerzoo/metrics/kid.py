"""Kernel distance (Binkowski et al. 2018): unbiased squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.feature_files import Rows

SUBSETS = 100
"""Number of random subsets."""
SUBSET = 1000
"""Largest number of features in a subset."""


def kernel_distance(fake: Rows, real: Rows, seed: int = 0) -> tuple[float, float]:
    """Return mean and standard deviation of the distance over 100 random subsets of up to 1,000 features of each set.

    The deviation shows how much the choice of images matters. It is too small if a set is hardly larger than a subset.

    Args:
        fake, real: at least two features each.
        seed: seed of the subsets.
    """
    rng = np.random.default_rng(seed)
    size = min(SUBSET, len(fake), len(real))
    found = [
        squared_mmd(*(rows.take(np.sort(rng.choice(len(rows), size, replace=False))) for rows in (fake, real)))
        for _ in range(SUBSETS)
    ]
    return float(np.mean(found)), float(np.std(found))


def squared_mmd(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Estimate the squared maximum mean discrepancy of two sets of features, (N, D) each, with equal N.

    The kernel is (x.y / D + 1)^3. The estimator is unbiased and may be negative.
    """
    x, y = _lifted(a), _lifted(b)
    n = len(x)
    within = sum(_kernel_sum(z, z) - ((z * z).sum(axis=1) ** 3).sum() for z in (x, y))
    return float(within / (n * (n - 1)) - 2 * _kernel_sum(x, y) / n**2)


def _lifted(a: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map features (N, D) to (N, D + 1), so that scalar products are the base x.y / D + 1 of the kernel."""
    n, D = a.shape
    return np.concatenate([a / np.sqrt(np.float64(D)), np.ones((n, 1))], axis=1, dtype=np.float64)


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Sum the kernel over all pairs."""
    base = (x @ y.T).ravel()
    return float(np.vdot(base * base, base))
