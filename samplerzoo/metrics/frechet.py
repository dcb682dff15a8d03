"""The Fréchet distance between two Gaussians fitted to features (Dowson and Landau 1982; Heusel et al. 2017, eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samplerzoo.errors import ZooError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (D,) and covariance (D, D) of `count` features, the covariance with n - 1 below."""

    count: int
    mean: Array
    covariance: Array


class RunningMoments:
    """Moments of features that pass by, in float64; memory does not grow with their number.

    Sums are taken about the first batch's mean: else a mean far from zero would eat the covariance's digits.
    """

    def __init__(self) -> None:
        self._count = 0
        self._origin: Array = np.zeros(0)
        self._sum: Array = np.zeros(0)
        self._outer: Array = np.zeros((0, 0))

    def add(self, features: Array) -> None:
        """Features (N, D)."""
        features = np.asarray(features, dtype=np.float64)
        if not np.isfinite(features).all():
            raise ZooError("features hold NaN or infinity: the images or the feature network are broken")
        if not self._count:
            self._origin = features.mean(axis=0)
            self._sum = np.zeros_like(self._origin)
            self._outer = np.zeros((len(self._origin), len(self._origin)))
        centred = features - self._origin
        self._count += len(features)
        self._sum += centred.sum(axis=0)
        self._outer += centred.T @ centred

    def moments(self) -> Moments:
        if self._count < 2:
            raise ZooError(f"a covariance needs at least 2 images, not {self._count}")
        offset = self._sum / self._count
        covariance = (self._outer - self._count * np.outer(offset, offset)) / (self._count - 1)
        return Moments(self._count, self._origin + offset, covariance)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    The trace of the root is that of (S_a^(1/2) S_b S_a^(1/2))^(1/2), which is symmetric: its eigenvalues are real and
    at least zero whatever the rank, where a general matrix square root turns complex.
    """
    if a.mean.shape != b.mean.shape:
        raise ZooError(f"features of {a.mean.shape[0]} and {b.mean.shape[0]} dimensions cannot be compared")
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ b.covariance @ root).clip(min=0)
    shift = a.mean - b.mean
    return float(shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(cross).sum())
