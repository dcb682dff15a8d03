"""Noise path of a model, on which the steps of a run are spread."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from samplerzoo.core import finder
from samplerzoo.core.finder import Spread
from samplerzoo.core.level import Grid, Level
from samplerzoo.errors import UsageError, number, numbers, short, whole
from samplerzoo.trust.limits import MOST_STEPS, MOST_TIMESTEPS

if TYPE_CHECKING:
    import torch

LEAST_ALPHA = 2.0**-12
"""Value of alpha in place of zero, so that formulas can divide by it. Its square is what diffusers uses at zero SNR."""
KARRAS_RHO = 7.0
"""Exponent rho of Karras et al. 2022, eq. 5."""


class Schedule(ABC):
    """Noise path: alpha and sigma along tau in [0, T]. `samplerzoo.core.paths` has the three kinds.

    Attributes:
        T: tau of the noisiest level.
        low: tau of the cleanest level that a network is trained on, at which spacings end.
        prior_std: standard deviation of the noise that sampling starts from.
        ends_in_noise: True if the noisiest level is meant to hold no signal, so that eps does not determine x0 there.
        own: function from a number of steps to the decreasing times tau of the model's own scheduler, if it has a grid.
        shifted: function from times tau that a pipeline asks for to the times that the model's own scheduler visits
            instead, if they differ.
        shift: number s by which that scheduler moves evenly spaced times towards the noise, to
            s tau / (1 + (s - 1) tau) (Esser et al. 2024, eq. 23); 1 leaves them. Spacings that are even in time apply
            it, too.
    """

    kind: ClassVar[str]
    """Name of the kind of path in messages and records."""
    usual: ClassVar[str]
    """Spacing of a run that names none, on a path without a grid of its own."""

    T: float
    low: float
    prior_std: float = 1.0
    ends_in_noise: bool = False
    own: Callable[[int], Sequence[float]] | None = None
    shifted: Callable[[Sequence[float]], Sequence[float]] | None = None
    shift: float = 1.0

    @abstractmethod
    def at(self, tau: float) -> Level:
        """Return the level at any tau in [0, T]. Raise UsageError outside."""

    @abstractmethod
    def at_log_snr(self, log_snr: float) -> Level:
        """Return the level with a given log(alpha^2 / sigma^2). Raise UsageError if it is noisier than tau = T."""

    @abstractmethod
    def levels(self, tau: torch.Tensor) -> Level:
        """Return the levels of a batch, as a Level whose fields are float64 tensors of the shape of tau."""

    def timestep(self, tau: float) -> float:
        """Return the number of a level for users and records: sigma, unless the kind of path has timesteps."""
        return tau

    def tau(self, timestep: float) -> float:
        """Return the tau of the level with this timestep, the inverse of `timestep`."""
        return timestep

    @property
    def whole(self) -> int | None:
        """Number of training timesteps tau = 1 ... T; None if the path has none."""
        return None

    @property
    def spacing(self) -> str:
        """Spacing of a run that names none: the grid of the model's own scheduler, else the usual one of the kind."""
        return self.usual if self.own is None else "scheduler"

    def timesteps(self, grid: Grid) -> list[float]:
        """Return the timesteps of the noisy levels of a grid."""
        return [self.timestep(level.tau) for level in grid.levels[:-1]]

    def describe(self, level: Level) -> dict[str, float | None]:
        """Return the numbers of a level for JSON. The infinite log-SNR of the clean level becomes None."""
        log_snr = None if level.clean else level.log_snr
        return {
            "timestep": self.timestep(level.tau), "tau": level.tau, "alpha": level.alpha, "sigma": level.sigma,
            "log_snr": log_snr,
        }  # fmt: skip

    def grid(self, steps: int, spacing: str | Spread | None = None) -> Grid:
        """Return the levels of a run of `steps` steps.

        Args:
            steps: number of steps, at least 1.
            spacing: a spacing, or its name; by default the path's own.

        Raises:
            UsageError: the spacing is unknown, or the steps do not fit.
        """
        steps = whole("steps", steps, most=MOST_STEPS)
        if spacing is None or isinstance(spacing, str):
            spacing = finder.find_spacing(self.spacing if spacing is None else spacing)
        if not callable(getattr(spacing, "spread", None)):
            raise UsageError(f"spacing is a name or an object of a Spacing, not {short(spacing)}")
        return self._grid(spacing.spread(self, steps))

    def grid_at(self, timesteps: Iterable[float]) -> Grid:
        """Return a grid of exactly these timesteps, fractions allowed, followed by the clean level."""
        listed = numbers("timesteps", timesteps)
        for t, s in itertools.pairwise(listed):
            if not t > s:
                raise UsageError(f"a grid must decrease strictly: timestep {s:g} follows {t:g}")
        return self._grid(self.tau(t) for t in listed)

    def _grid(self, taus: Iterable[float]) -> Grid:
        return Grid((*(self.at(tau) for tau in taus), self.at(0.0)))


def karras(top: float, low: float, steps: int, rho: float = KARRAS_RHO) -> NDArray[np.float64]:
    """Return noise levels from top to low, evenly spaced in their root of order rho (Karras et al. 2022, eq. 5)."""
    for what, value in (("top", top), ("low", low), ("rho", rho)):
        if not 0 < number(f"{what} of a Karras grid", value) < math.inf:
            raise UsageError(f"{what} of a Karras grid is finite and above 0, not {short(value)}")
    steps = whole("steps", steps, least=0, most=MOST_TIMESTEPS)
    return np.linspace(top ** (1 / rho), low ** (1 / rho), steps) ** rho
