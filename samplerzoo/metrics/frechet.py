"""Fréchet distance between Gaussians fitted to features (Dowson and Landau 1982; Heusel et al. 2017, eq. 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from samplerzoo.errors import ZooError

Array = NDArray[np.float64]


class Gaussian(Protocol):
    """Anything with a mean (D,) and a covariance (D, D)."""

    @property
    def mean(self) -> Array: ...

    @property
    def covariance(self) -> Array: ...


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Moments of `count` features in float64: the mean (D,) and M2 (D, D), the sum of outer products of deviations.

    The moments of parts are merged (Chan, Golub, LeVeque 1979), so memory does not grow with the number of features.
    The order of merging changes the last digits.
    """

    count: int
    mean: Array
    m2: Array

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> FeatureMoments:
        """Compute the moments of features (N, D)."""
        values = np.asarray(features, dtype=np.float64)
        mean = values.mean(axis=0)
        deviations = values - mean
        return cls(len(values), mean, deviations.T @ deviations)  # of one array, which BLAS does in half the time

    @classmethod
    def merged(cls, parts: Iterable[FeatureMoments]) -> FeatureMoments:
        """Merge the moments of all parts, in order.

        Raises:
            ZooError: there are no parts.
        """
        found: FeatureMoments | None = None
        for part in parts:
            found = part if found is None else found.merge(part)
        if found is None:
            raise ZooError("there are no images to be measured")
        return found

    def merge(self, other: FeatureMoments) -> FeatureMoments:
        """Return the moments of both sets of features together."""
        count = self.count + other.count
        shift = other.mean - self.mean
        m2 = self.m2 + other.m2 + np.outer(shift, shift) * (self.count * other.count / count)
        return FeatureMoments(count, self.mean + shift * (other.count / count), m2)

    def without(self, part: FeatureMoments) -> FeatureMoments:
        """Return the moments without the features of `part`, the inverse of `merge`."""
        count = self.count - part.count
        mean = self.mean + (self.mean - part.mean) * (part.count / count)
        shift = part.mean - mean
        m2 = self.m2 - part.m2 - np.outer(shift, shift) * (count * part.count / self.count)
        return FeatureMoments(count, mean, m2)

    @property
    def covariance(self) -> Array:
        """Unbiased covariance (D, D), with divisor n - 1.

        Raises:
            ZooError: there are fewer than two features.
        """
        if self.count < 2:
            raise ZooError(f"a covariance needs at least 2 images, not {self.count}")
        return self.m2 / (self.count - 1)


class DistanceTo:
    """Fréchet distances of many Gaussians to one target. The root of the target's covariance is computed once.

    The distance is |mu - mu_r|^2 + tr(S + S_r - 2 (S_r^(1/2) S S_r^(1/2))^(1/2)). The matrix under the root is
    symmetric, so its eigenvalues are real and not negative for any rank.

    Args:
        target: the Gaussian N(mu_r, S_r).
    """

    def __init__(self, target: Gaussian) -> None:
        self.mean, covariance = target.mean, target.covariance
        values, vectors = np.linalg.eigh(covariance)
        self._root = (vectors * _roots(values)) @ vectors.T
        self._trace = np.trace(covariance)

    def __call__(self, of: Gaussian) -> float:
        """Return the distance of N(mu, S).

        Raises:
            ZooError: the dimensions differ.
        """
        shift = self._shift(of)
        cross = _roots(np.linalg.eigvalsh(self._root @ of.covariance @ self._root)).sum()
        return float(shift @ shift + np.trace(of.covariance) + self._trace - 2 * cross)

    def slopes(self, of: Gaussian) -> tuple[Array, Array]:
        """Return the derivatives of the distance by mu (D,) and by S (D, D).

        They are 2 (mu - mu_r) and I - T, where T = S_r^(1/2) (S_r^(1/2) S S_r^(1/2))^(-1/2) S_r^(1/2) is the optimal
        transport from N(mu, S) to the target. Directions without variance are left out of T.
        """
        shift = self._shift(of)
        values, vectors = np.linalg.eigh(self._root @ of.covariance @ self._root)
        roots = _roots(values)
        inverse = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 0)
        half = self._root @ vectors
        return 2 * shift, np.eye(len(shift)) - (half * inverse) @ half.T

    def _shift(self, of: Gaussian) -> Array:
        if len(of.mean) != len(self.mean):
            raise ZooError(f"features of {len(of.mean)} and {len(self.mean)} dimensions cannot be compared")
        return of.mean - self.mean


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Return the distance of two Gaussians; see `DistanceTo`."""
    return DistanceTo(b)(a)


def _roots(eigenvalues: Array) -> Array:
    """Return square roots of eigenvalues, with those at the level of rounding errors set to zero.

    The root of a rounding error is about 1e-8, and a covariance of low rank has many of them.
    """
    rounding = len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues.max()
    return np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0))
