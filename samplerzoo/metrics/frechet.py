"""The Fréchet distance between two Gaussians fitted to features (Dowson and Landau 1982; Heusel et al. 2017, eq. 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from samplerzoo.errors import ZooError

Array = NDArray[np.float64]


class Gaussian(Protocol):
    """Mean (D,) and covariance (D, D): moments, or a reference."""

    @property
    def mean(self) -> Array: ...

    @property
    def covariance(self) -> Array: ...


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Of `count` features, in float64: the mean (D,), and M2 (D, D), the sum of outer products of deviations from it.

    The moments of many are merged from those of parts (Chan, Golub, LeVeque 1979), so that memory does not grow with
    their number. What order they are merged in shows in the last digits.
    """

    count: int
    mean: Array
    m2: Array

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> FeatureMoments:
        """Of features (N, D) at once."""
        values = np.asarray(features, dtype=np.float64)
        mean = values.mean(axis=0)
        return cls(len(values), mean, (values - mean).T @ (values - mean))

    @classmethod
    def merged(cls, parts: Iterable[FeatureMoments]) -> FeatureMoments:
        """Of all parts, in their order.

        Raises:
            ZooError: there is no part.
        """
        found: FeatureMoments | None = None
        for part in parts:
            found = part if found is None else found.merge(part)
        if found is None:
            raise ZooError("there are no images to be measured")
        return found

    def merge(self, other: FeatureMoments) -> FeatureMoments:
        count = self.count + other.count
        shift = other.mean - self.mean
        m2 = self.m2 + other.m2 + np.outer(shift, shift) * (self.count * other.count / count)
        return FeatureMoments(count, self.mean + shift * (other.count / count), m2)

    @property
    def covariance(self) -> Array:
        """(D, D), with n - 1 below.

        Raises:
            ZooError: there are less than two features.
        """
        if self.count < 2:
            raise ZooError(f"a covariance needs at least 2 images, not {self.count}")
        return self.m2 / (self.count - 1)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    The trace of the root is that of (S_a^(1/2) S_b S_a^(1/2))^(1/2), which is symmetric: its eigenvalues are real and
    at least zero whatever the rank, where a general matrix square root turns complex.
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
    """Square roots, of rounding errors zero: the root of one is 1e-8, and a covariance of low rank has many."""
    rounding = len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues.max()
    return np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0))
