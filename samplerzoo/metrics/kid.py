"""The kernel distance (Binkowski et al. 2018): squared maximum mean discrepancy under a cubic kernel, without bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerzoo.metrics.rows import Rows

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
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n = len(x)
    within = sum(_kernel(z, z).sum() - (((z * z).sum(axis=1) / z.shape[1] + 1) ** 3).sum() for z in (x, y))
    return float(within / (n * (n - 1)) - 2 * _kernel(x, y).mean())


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    base = x @ y.T / x.shape[1] + 1
    cubed: NDArray[np.float64] = base * base * base
    return cubed
