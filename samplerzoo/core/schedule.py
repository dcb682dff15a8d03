"""Noise paths, and the spacings that spread the steps of a run over them."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from samplerzoo.core.level import Grid, Level
from samplerzoo.errors import UsageError

if TYPE_CHECKING:
    import torch

LEAST_ALPHA = 2.0**-12
"""Value of alpha in place of zero, so that formulas can divide by it: its square is that of diffusers' zero SNR."""
KARRAS_RHO = 7.0
"""Exponent rho of Karras et al. 2022, eq. 5."""
QUADRATIC_SPAN = 0.8
"""Share of the timesteps that the quadratic grid covers (Song, Meng, Ermon 2021, appendix D.2)."""


class Schedule(ABC):
    """Noise path: alpha and sigma along tau in [0, T]. `samplerzoo.core.paths` has the three kinds.

    Attributes:
        T: tau of the noisiest level.
        low: tau of the cleanest level that a network is trained on, at which spacings end.
        prior_std: standard deviation of the noise that sampling starts from.
        ends_in_noise: True if the noisiest level is meant to hold no signal, so that eps alone does not tell x0 there.
        own: function from a number of steps to the decreasing times tau of the model's own scheduler, if it has a grid.
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
        """Return the number that users and records call a level by: sigma, unless the kind of path has another."""
        return tau

    def tau(self, timestep: float) -> float:
        """Return the tau of a level that is called by this number."""
        return timestep

    @property
    def whole(self) -> int | None:
        """Number of training timesteps tau = 1 ... T, if the path has such."""
        return None

    @property
    def spacing(self) -> str:
        """Spacing of a run that names none: the grid of the model's own scheduler, else the usual one of the kind."""
        return self.usual if self.own is None else "scheduler"

    def timesteps(self, grid: Grid) -> list[float]:
        """Return what the noisy levels of a grid are called."""
        return [self.timestep(level.tau) for level in grid.levels[:-1]]

    def describe(self, level: Level) -> dict[str, float | None]:
        """Return the numbers of a level for JSON. The infinite log-SNR of the clean level becomes None."""
        log_snr = None if level.clean else level.log_snr
        return {
            "timestep": self.timestep(level.tau), "tau": level.tau, "alpha": level.alpha, "sigma": level.sigma,
            "log_snr": log_snr,
        }  # fmt: skip

    def grid(self, steps: int, spacing: str | None = None) -> Grid:
        """Return the levels of a run of `steps` steps. A run of one step starts at T for every spacing.

        Args:
            steps: number of steps, at least 1.
            spacing: name of a spacing; by default the path's own.

        Raises:
            UsageError: the spacing is unknown, or the steps do not fit.
        """
        return self._grid(space(self, steps, spacing or self.spacing))

    def grid_at(self, timesteps: Iterable[float]) -> Grid:
        """Return a grid of exactly these timesteps, fractions allowed, followed by the clean level."""
        listed = [*timesteps]
        for t, s in itertools.pairwise(listed):
            if not t > s:
                raise UsageError(f"a grid must decrease strictly: timestep {s:g} follows {t:g}")
        return self._grid(self.tau(t) for t in listed)

    def _grid(self, taus: Iterable[float]) -> Grid:
        return Grid((*(self.at(tau) for tau in taus), self.at(0.0)))


def space(schedule: Schedule, steps: int, spacing: str) -> Sequence[float]:
    """Return the decreasing times tau of a run; see `Schedule.grid`.

    Raises:
        UsageError: the spacing is unknown or of another kind of path, or the steps do not fit.
    """
    if spacing not in SPACINGS:
        raise UsageError(f"unknown spacing {spacing!r}; known: {', '.join(SPACINGS)}")
    if steps < 1:
        raise UsageError(f"a run needs at least 1 step, not {steps}")
    whole = schedule.whole
    if spacing in WHOLE_SPACINGS and whole is None:
        raise UsageError(
            f"{spacing!r} spacing is of training timesteps, which a {schedule.kind} path does not have: "
            "take --spacing trailing, linspace, karras or logsnr"
        )
    if spacing in ROUNDED_SPACINGS and whole is not None and steps > whole:
        raise UsageError(
            f"{steps} steps do not fit on the {whole} timesteps of {spacing!r} spacing: "
            f"take at most {whole}, or --spacing karras, logsnr or quadratic"
        )
    if spacing == "scheduler":  # which may have a grid of one step that is its own
        return SPACINGS[spacing](schedule, steps)
    return SPACINGS[spacing](schedule, steps) if steps > 1 else [float(schedule.T)]


def karras(top: float, low: float, steps: int, rho: float = KARRAS_RHO) -> NDArray[np.float64]:
    """Return noise levels from top to low, evenly spaced in their root of order rho (Karras et al. 2022, eq. 5)."""
    return np.linspace(top ** (1 / rho), low ** (1 / rho), steps) ** rho


def _trailing(schedule: Schedule, steps: int) -> list[float]:
    """Return evenly spaced times that start at T for any number of steps (Lin et al. 2024, table 2)."""
    T = schedule.T
    taus = T - np.arange(steps) * (T / steps)
    return [float(tau) for tau in (taus if schedule.whole is None else np.round(taus))]


def _leading(schedule: Schedule, steps: int) -> list[float]:
    """Return the timesteps 0, r, 2r, ... with r = T // steps. Depending on the steps they may start far below T."""
    return [float(schedule.tau(k * (schedule.T // steps))) for k in reversed(range(steps))]


def _linspace(schedule: Schedule, steps: int) -> list[float]:
    """Return evenly spaced times from T to the cleanest level that a network knows, whole timesteps if there are."""
    if schedule.whole is None:
        return [float(tau) for tau in np.linspace(schedule.T, schedule.low, steps)]
    return [schedule.tau(float(t)) for t in np.round(np.linspace(schedule.T - 1, 0, steps))]


def _quadratic(schedule: Schedule, steps: int) -> list[float]:
    """Return a quadratic grid (Song, Meng, Ermon 2021, appendix D.2), unrounded so that no timesteps coincide."""
    top = min(QUADRATIC_SPAN * schedule.T, schedule.T - 1)  # below T = 5 the span would leave the schedule
    inner = np.linspace(math.sqrt(top), 0, steps)[1:] ** 2
    return [schedule.tau(top), *(schedule.tau(float(t)) for t in inner)]


def _karras(schedule: Schedule, steps: int) -> list[float]:
    """Return the grid of Karras et al. 2022, eq. 5, in sigma / alpha, from T to the cleanest level that is known."""
    top, low = (math.exp(-schedule.at(tau).log_snr / 2) for tau in (schedule.T, schedule.low))
    return _through_log_snr(schedule, -2 * np.log(karras(top, low, steps)))


def _logsnr(schedule: Schedule, steps: int) -> list[float]:
    """Return times evenly spaced in log-SNR from T to the cleanest level that is known (Lu et al. 2022)."""
    top, low = (schedule.at(tau).log_snr for tau in (schedule.T, schedule.low))
    return _through_log_snr(schedule, np.linspace(top, low, steps))


def _through_log_snr(schedule: Schedule, log_snr: NDArray[np.float64]) -> list[float]:
    """Return the times tau of these log-SNRs. The ends are exact, since a look-up would round them."""
    inner = (schedule.at_log_snr(float(value)).tau for value in log_snr[1:-1])
    return [float(schedule.T), *inner, float(schedule.low)]


def _scheduler(schedule: Schedule, steps: int) -> Sequence[float]:
    """Return the grid of the scheduler that the model's folder holds."""
    if schedule.own is None:
        raise UsageError(
            f"this model's scheduler has no grid of its own; the usual spacing of a {schedule.kind} path is "
            f"--spacing {schedule.usual}"
        )
    taus = schedule.own(steps)
    if len(taus) != steps:
        raise UsageError(f"the scheduler's own grid of {steps} steps has {len(taus)} levels: give --spacing")
    return taus


SPACINGS: dict[str, Callable[[Schedule, int], Sequence[float]]] = {
    "trailing": _trailing,
    "leading": _leading,
    "linspace": _linspace,
    "quadratic": _quadratic,
    "karras": _karras,
    "logsnr": _logsnr,
    "scheduler": _scheduler,
}
"""Functions from (schedule, steps) to decreasing times tau, by name of the spacing."""
WHOLE_SPACINGS = ("leading", "quadratic")
"""Spacings of training timesteps, for paths that have them."""
ROUNDED_SPACINGS = ("trailing", "leading", "linspace")
"""Spacings that visit whole training timesteps only, and so have at most T steps."""
