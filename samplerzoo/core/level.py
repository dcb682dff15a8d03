"""Levels of a noise path, and grids of levels that a sampler visits.

A state at level t is x_t = alpha_t x_0 + sigma_t eps with eps ~ N(0, I). Time is tau in [0, T]: tau = 0 is clean data,
and the log signal-to-noise ratio falls monotonically up to T. So the clean level is a point on the axis, and no formula
needs an index of -1. All arithmetic is in float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from samplerzoo.errors import UsageError, expect, short


@dataclass(frozen=True)
class Level:
    """Point of a path, in plain floats because the whole batch is at the same level.

    In training the fields are tensors, since each image of a batch has its own level.

    Attributes:
        dalpha, dsigma: slopes of alpha and sigma per unit of tau.
    """

    tau: float
    alpha: float
    sigma: float
    dalpha: float
    dsigma: float

    @property
    def clean(self) -> bool:
        return self.sigma == 0.0

    @property
    def drift(self) -> float:
        """Factor f of the SDE dx = f x dtau + g dw (Song et al. 2021, eq. 5), which is the slope of log alpha."""
        return self.dalpha / self.alpha

    @property
    def rate(self) -> float:
        """Value of g^2 of the SDE dx = f x dtau + g dw: the beta of a variance-preserving path."""
        return 2.0 * self.sigma * (self.dsigma - self.drift * self.sigma)

    @property
    def log_snr(self) -> float:
        """Log signal-to-noise ratio log(alpha^2 / sigma^2). It is infinite at the clean level."""
        return math.inf if self.clean else 2.0 * (math.log(self.alpha) - math.log(self.sigma))

    @property
    def lam(self) -> float:
        """Value of log(alpha / sigma), the lambda of Lu et al. 2022. It is infinite at the clean level."""
        return self.log_snr / 2.0


def transition_variance(t: Level, s: Level) -> float:
    """Return Var q(x_t | x_s) for s cleaner than t: under VP 1 - abar_t / abar_s, the beta of the respaced chain.

    Raises:
        UsageError: they are no levels, or s is not the cleaner one.
    """
    expect("the level t", t, Level)
    expect("the level s", s, Level)
    if t.clean or s.tau > t.tau:
        raise UsageError(f"a transition leads from s to a noisier t, and not from tau {s.tau:g} to {t.tau:g}")
    return max(t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2, 0.0)


def posterior_std(t: Level, s: Level) -> float:
    """Return the standard deviation of q(x_s | x_t, x_0), the root of beta-tilde (Ho, Jain, Abbeel 2020, eq. 7).

    Raises:
        UsageError: they are no levels, or s is not the cleaner one.
    """
    variance = transition_variance(t, s)
    return s.sigma / t.sigma * math.sqrt(variance)


@dataclass(frozen=True)
class Grid:
    """Levels of a run, strictly decreasing in tau and ending with the clean one.

    Raises:
        UsageError: they do not decrease, there is no noisy level, or the clean level is not the last one.
    """

    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.levels, (tuple, list)):
            raise UsageError(f"the levels of a grid are a tuple of Level, not {short(self.levels)}")
        for level in self.levels:
            expect("a level of a grid", level, Level)
        if len(self.levels) < 2 or [level.clean for level in self.levels] != [False] * len(self) + [True]:
            raise UsageError("a grid needs at least one noisy level, and the clean level at its end only")
        for t, s in self.pairs():
            if not t.tau > s.tau:
                raise UsageError(f"a grid must decrease strictly: tau {s.tau:g} follows {t.tau:g}")

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.levels) - 1

    def pairs(self) -> Iterator[tuple[Level, Level]]:
        """Return the pairs (t, s) of levels at which each step starts and ends."""
        return itertools.pairwise(self.levels)
