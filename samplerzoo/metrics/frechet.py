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
        return cls(len(values), mean, (values - mean).T @ (values - mean))

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

    @property
    def covariance(self) -> Array:
        """Unbiased covariance (D, D), with divisor n - 1.

        Raises:
            ZooError: there are fewer than two features.
        """
        if self.count < 2:
            raise ZooError(f"a covariance needs at least 2 images, not {self.count}")
        return self.m2 / (self.count - 1)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Return |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    The trace of the root equals that of (S_a^(1/2) S_b S_a^(1/2))^(1/2). This matrix is symmetric, so its eigenvalues
    are real and not negative for any rank. A general matrix square root would become complex.

    Raises:
        ZooError: the dimensions differ.
    """
    if len(a.mean) != len(b.mean):
        raise ZooError(f"features of {len(a.mean)} and {len(b.mean)} dimensions cannot be compared")
    ours, theirs = a.covariance, b.covariance
    values, vectors = np.linalg.eigh(ours)
    root = (vectors * _roots(values)) @ vectors.T
    cross = _roots(np.linalg.eigvalsh(root @ theirs @ root))
    shift = a.mean - b.mean
    return float(shift @ shift + np.trace(ours) + np.trace(theirs) - 2 * cross.sum())


def _roots(eigenvalues: Array) -> Array:
    """Return square roots of eigenvalues, with those at the level of rounding errors set to zero.

    The root of a rounding error is about 1e-8, and a covariance of low rank has many of them.
    """
    rounding = len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues.max()
    return np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0))
