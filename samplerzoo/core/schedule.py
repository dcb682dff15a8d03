"""Noise schedule of a diffusion model, and the levels on it that a sampler visits.

A state at level t is x_t = alpha_t x_0 + sigma_t eps with eps ~ N(0, I). Time is tau in [0, T]: tau = 0 is clean data
and tau = i + 1 is the training timestep i of diffusers. So the clean level is a point of the axis, and no formula
needs an index of -1. All arithmetic is float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from samplerzoo.core.betas import betas_of
from samplerzoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    import torch

KARRAS_RHO = 7.0
"""Exponent rho of Karras et al. 2022, eq. 5."""
QUADRATIC_SPAN = 0.8
"""Share of the timesteps that the quadratic grid covers (Song, Meng, Ermon 2021, appendix D.2)."""
Time = TypeVar("Time", float, "torch.Tensor")

ZERO_SNR_ALPHA_BAR = 2.0**-24
"""Value of abar in place of zero, as in diffusers, so that formulas can divide by alpha."""


def to_timestep(tau: Time) -> Time:
    """Return the time of diffusers' networks and schedulers, the training timestep, which may be a fraction."""
    return tau - 1


def to_tau(timestep: Time) -> Time:
    """Return the tau of a training timestep."""
    return timestep + 1


@dataclass(frozen=True)
class Level:
    """Point of a schedule, in plain floats because the whole batch is at the same level."""

    tau: float
    alpha: float
    sigma: float
    beta: float
    """Rate of the VP-SDE dx = -beta/2 x dtau + sqrt(beta) dw, per unit of tau."""

    @property
    def clean(self) -> bool:
        return self.sigma == 0.0

    @property
    def log_snr(self) -> float:
        """Log signal-to-noise ratio log(alpha^2 / sigma^2). It is infinite at the clean level."""
        return math.inf if self.clean else 2.0 * (math.log(self.alpha) - math.log(self.sigma))

    @property
    def lam(self) -> float:
        """Value of log(alpha / sigma), the lambda of Lu et al. 2022. It is infinite at the clean level."""
        return self.log_snr / 2.0

    @property
    def timestep(self) -> float:
        """Time as the network takes it: the training timestep of diffusers, which may be a fraction."""
        return to_timestep(self.tau)

    def describe(self) -> dict[str, float | None]:
        """Return the numbers for JSON. The infinite log-SNR of the clean level becomes None."""
        log_snr = None if self.clean else self.log_snr
        return {
            "timestep": self.timestep, "tau": self.tau, "alpha": self.alpha, "sigma": self.sigma, "log_snr": log_snr
        }  # fmt: skip


def transition_variance(t: Level, s: Level) -> float:
    """Return Var q(x_t | x_s) for s cleaner than t: under VP 1 - abar_t / abar_s, the beta of the respaced chain."""
    return max(t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2, 0.0)


def posterior_std(t: Level, s: Level) -> float:
    """Return the standard deviation of q(x_s | x_t, x_0), the root of beta-tilde (Ho, Jain, Abbeel 2020, eq. 7)."""
    return s.sigma / t.sigma * math.sqrt(transition_variance(t, s))


@dataclass(frozen=True)
class Grid:
    """Levels of a run, strictly decreasing in tau and ending with the clean one.

    Raises:
        UsageError: they do not decrease, there is no noisy level, or the clean level is not the last one.
    """

    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        if len(self) < 1 or [level.clean for level in self.levels] != [False] * len(self) + [True]:
            raise UsageError("a grid needs at least one noisy level, and the clean level at its end only")
        for t, s in itertools.pairwise(self.levels):
            if not t.tau > s.tau:
                raise UsageError(f"a grid must decrease strictly: timestep {s.timestep:g} follows {t.timestep:g}")

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.levels) - 1

    def pairs(self) -> Iterator[tuple[Level, Level]]:
        """Return the pairs (t, s) of levels at which each step starts and ends."""
        return itertools.pairwise(self.levels)

    @property
    def timesteps(self) -> list[float]:
        """Timesteps of the noisy levels, as diffusers counts them."""
        return [level.timestep for level in self.levels[:-1]]


class Schedule:
    """Variance-preserving noise schedule. Between the training timesteps, -log abar is linear in tau in [0, T].

    Args:
        betas: T variances of the forward chain, each in (0, 1].
        zero_terminal_snr: rescale so that the last level holds no signal (Lin et al. 2024, algorithm 1).

    Raises:
        ZooError: the betas make no schedule.
    """

    prior_std = 1.0
    """Standard deviation of the noise that sampling starts from."""

    def __init__(self, betas: Sequence[float] | NDArray[np.float64], *, zero_terminal_snr: bool = False) -> None:
        beta = np.asarray(betas, dtype=np.float64)
        if beta.ndim != 1 or not len(beta) or not (np.isfinite(beta).all() and (beta > 0).all() and (beta <= 1).all()):
            raise ZooError("a schedule needs a list of betas, each above 0 and at most 1")
        log_abar = np.concatenate([[0.0], np.cumsum(np.log1p(-np.minimum(beta, 1 - 2.0**-53)))])
        if zero_terminal_snr:
            if len(beta) == 1:
                raise ZooError("zero terminal SNR needs at least 2 timesteps: there is nothing to rescale in 1")
            root = np.exp(log_abar[1:] / 2)
            root = (root - root[-1]) * root[0] / (root[0] - root[-1])
            abar = root**2
            abar[-1] = min(ZERO_SNR_ALPHA_BAR, abar[-2] / 4)  # the level before may hold even less signal
            log_abar[1:] = np.log(abar)
        self.zero_terminal_snr = zero_terminal_snr
        self._depth = -log_abar  # -log abar, increasing from 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schedule:
        """Build the schedule of any diffusers scheduler config that has betas. Its class does not matter.

        Raises:
            ZooError: the config has no betas, like that of a flow or VE scheduler, or has invalid ones.
        """
        if "_class_name" in config and not {"beta_schedule", "trained_betas"} & set(config):
            raise ZooError(f"a {config['_class_name']} has no betas; samplerzoo knows variance-preserving schedules")
        try:
            betas = betas_of(config)
        except (TypeError, ValueError) as error:
            raise ZooError(f"the scheduler config makes no schedule: {error}") from error
        return cls(betas, zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)))

    @property
    def T(self) -> int:
        return len(self._depth) - 1

    @property
    def alphas(self) -> NDArray[np.float64]:
        """Values of alpha at tau = 0 ... T, shape (T + 1,)."""
        return np.exp(-self._depth / 2)

    @property
    def sigmas(self) -> NDArray[np.float64]:
        """Values of sigma at tau = 0 ... T, shape (T + 1,)."""
        return np.sqrt(-np.expm1(-self._depth))

    def at(self, tau: float) -> Level:
        """Return the level at any tau in [0, T]. Raise UsageError outside."""
        if not 0.0 <= tau <= self.T:
            raise UsageError(
                f"timestep {to_timestep(tau):g} is outside the schedule, which has -1 (clean) to {self.T - 1}"
            )
        i = max(math.ceil(tau), 1)  # beta is constant on (i - 1, i]
        beta = float(self._depth[i] - self._depth[i - 1])
        depth = tau * beta if i == 1 else float(self._depth[i]) - (i - tau) * beta  # both are exact at tau = i
        return Level(float(tau), math.exp(-depth / 2), math.sqrt(-math.expm1(-depth)), beta)

    def at_log_snr(self, log_snr: float) -> Level:
        """Return the level with a given log(alpha^2 / sigma^2). Raise UsageError if it is noisier than tau = T."""
        depth = float(np.logaddexp(0.0, -log_snr))  # abar = sigmoid(log_snr)
        top = float(self._depth[-1])
        if depth > top * (1 + 1e-9):
            raise UsageError(f"log-SNR {log_snr:g} is below the schedule's lowest, {self.at(self.T).log_snr:g}")
        return self.at(float(np.interp(depth, self._depth, np.arange(self.T + 1))))

    def grid(self, steps: int, spacing: str = "trailing") -> Grid:
        """Return the levels of a run of `steps` steps. A run of one step starts at T for every spacing.

        Args:
            steps: number of steps, at least 1.
            spacing: key of SPACINGS.

        Raises:
            UsageError: the spacing is unknown, or the steps do not fit.
        """
        if spacing not in SPACINGS:
            raise UsageError(f"unknown spacing {spacing!r}; known: {', '.join(SPACINGS)}")
        if steps < 1:
            raise UsageError(f"a run needs at least 1 step, not {steps}")
        if spacing in INTEGER_SPACINGS and steps > self.T:
            raise UsageError(
                f"{steps} steps do not fit on the {self.T} timesteps of {spacing!r} spacing: "
                f"take at most {self.T}, or --spacing karras, logsnr or quadratic"
            )
        taus = SPACINGS[spacing](self, steps) if steps > 1 else [float(self.T)]
        return self._grid(taus)

    def grid_at(self, timesteps: Iterable[float]) -> Grid:
        """Return a grid of exactly these training timesteps, fractions allowed, followed by the clean level."""
        return self._grid(to_tau(t) for t in timesteps)

    def _grid(self, taus: Iterable[float]) -> Grid:
        return Grid((*(self.at(tau) for tau in taus), self.at(0.0)))


def _trailing(schedule: Schedule, steps: int) -> list[float]:
    """Return evenly spaced times that start at T for any number of steps (Lin et al. 2024, table 2)."""
    T = schedule.T
    return [float(tau) for tau in np.round(T - np.arange(steps) * (T / steps))]


def _leading(schedule: Schedule, steps: int) -> list[float]:
    """Return the timesteps 0, r, 2r, ... with r = T // steps. Depending on the steps they may start far below T."""
    return [float(to_tau(k * (schedule.T // steps))) for k in reversed(range(steps))]


def _linspace(schedule: Schedule, steps: int) -> list[float]:
    """Return evenly spaced timesteps from T - 1 to 0, rounded to integers."""
    return [to_tau(float(t)) for t in np.round(np.linspace(schedule.T - 1, 0, steps))]


def _quadratic(schedule: Schedule, steps: int) -> list[float]:
    """Return a quadratic grid (Song, Meng, Ermon 2021, appendix D.2), unrounded so that no timesteps coincide."""
    top = min(QUADRATIC_SPAN * schedule.T, schedule.T - 1)  # below T = 5 the span would leave the schedule
    return [to_tau(top), *(to_tau(float(t)) for t in np.linspace(math.sqrt(top), 0, steps)[1:] ** 2)]


def _karras(schedule: Schedule, steps: int) -> list[float]:
    """Return the grid of Karras et al. 2022, eq. 5, in sigma / alpha from tau = T to tau = 1."""
    top, low = (math.exp(-schedule.at(tau).log_snr / 2 / KARRAS_RHO) for tau in (schedule.T, 1))
    noise = np.linspace(top, low, steps) ** KARRAS_RHO
    return _through_log_snr(schedule, -2 * np.log(noise))


def _logsnr(schedule: Schedule, steps: int) -> list[float]:
    """Return times evenly spaced in log-SNR from tau = T to tau = 1 (Lu et al. 2022, DPM-Solver)."""
    return _through_log_snr(schedule, np.linspace(schedule.at(schedule.T).log_snr, schedule.at(1).log_snr, steps))


def _through_log_snr(schedule: Schedule, log_snr: NDArray[np.float64]) -> list[float]:
    """Return the times tau of these log-SNRs. The ends are exactly T and 1, since a look-up would round them."""
    return [float(schedule.T), *(schedule.at_log_snr(float(value)).tau for value in log_snr[1:-1]), 1.0]


SPACINGS: dict[str, Callable[[Schedule, int], list[float]]] = {
    "trailing": _trailing,
    "leading": _leading,
    "linspace": _linspace,
    "quadratic": _quadratic,
    "karras": _karras,
    "logsnr": _logsnr,
}
"""Functions from (schedule, steps) to decreasing times tau, by name of the spacing."""
INTEGER_SPACINGS = ("trailing", "leading", "linspace")
"""Spacings that visit training timesteps only, and so have at most T steps."""
