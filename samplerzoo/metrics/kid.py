"""The kernel distance (Binkowski et al. 2018): squared maximum mean discrepancy under a cubic kernel, without bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.feature_files import Rows

SUBSETS = 100
SUBSET = 1000


def kernel_distance(fake: Rows, real: Rows, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation over random subsets of up to 1,000 of each; at least two features of each.

    The deviation shows how much the choice of images matters, up to where a set is not larger than its subsets.
    """
    rng = np.random.default_rng(seed)
    size = min(SUBSET, len(fake), len(real))
    found = [
        squared_mmd(*(rows.take(np.sort(rng.choice(len(rows), size, replace=False))) for rows in (fake, real)))
        for _ in range(SUBSETS)
    ]
    return float(np.mean(found)), float(np.std(found))


def squared_mmd(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Of as many features of one set as of the other, (N, D) each, by the unbiased estimator, which may be below zero.

    The kernel is (x.y / D + 1)^3.
    """
    x, y = _lifted(a), _lifted(b)
    n = len(x)
    within = sum(_kernel_sum(z, z) - ((z * z).sum(axis=1) ** 3).sum() for z in (x, y))
    return float(within / (n * (n - 1)) - 2 * _kernel_sum(x, y) / n**2)


def _lifted(a: NDArray[np.floating]) -> NDArray[np.float64]:
    """Features (N, D) as (N, D + 1), whose scalar products are the kernel's base x.y / D + 1."""
    n, D = a.shape
    return np.concatenate([a / np.sqrt(np.float64(D)), np.ones((n, 1))], axis=1, dtype=np.float64)


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Of all pairs."""
    base = (x @ y.T).ravel()
    return float(np.vdot(base * base, base))
