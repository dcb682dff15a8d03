"""Order of convergence of a sampler, measured in float64 between two noisy levels.

The step to the clean level is left out. It has another size and often another formula, and would hide the order.

Errors of single steps are measured, too, since in a run those of a wrong method with memory may cancel.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplerzoo.core.exact import draws, gaussian, learned, mixture
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.errors import ZooError
from samplerzoo.testing.fixtures import usual
from samplerzoo.testing.moments import moments_of

LOG_SNR = (-4.0, 2.0)
"""Log-SNR of the two levels, between which most of an image is made."""

STEPS = (32, 64, 128, 256)
"""Numbers of steps: enough for the leading term of the error to dominate, and too few for rounding to matter."""

TOLERANCE = 0.15
"""Allowed distance of a measured order from the true one, due to the next terms of the error."""

TOLERANCE_OF_STEPS = 0.5
"""The same for single steps. Their largest error has larger next terms, and a wrong method is off by 1."""

ROUNDING = 1e-12
"""Size below which an error counts as rounding of float64."""

MEANS, SPREAD = (-1.0, 1.0), 0.3
"""Mixture on which deterministic samplers are compared with the exact flow."""

MEAN = torch.tensor([0.5, -0.5, 1.0, 0.0], dtype=torch.float64)
STD = torch.tensor([0.5, 0.2, 1.0, 1.5], dtype=torch.float64)
"""Standard deviations of Gaussians on which mean and variance of stochastic samplers are compared. On one alone, an
error may cross zero at some number of steps."""

CORRECTED = 32
"""Steps of a run in whose middle a state is nudged."""

LONG = 3.0
"""Size of the long steps of an uneven grid, in short ones."""


@dataclass(frozen=True)
class Convergence:
    """Errors by the number of steps.

    Attributes:
        errors: error at the second level.
        step_errors: largest error of a single step in the middle of a run, where a method with memory has its full
            order; empty for a sampler that draws noise.
        corrects: True if a step does not start from the state that the step before has yielded, but from a better one.
    """

    steps: tuple[int, ...]
    errors: tuple[float, ...]
    step_errors: tuple[float, ...] = ()
    corrects: bool = False

    @property
    def order(self) -> float:
        """Slope of log error against log step size, by least squares; infinite if all errors are rounding."""
        return _slope(self.steps, self.errors)

    @property
    def order_of_steps(self) -> float:
        """Order according to the errors of single steps, whose exponent is one more than for a run.

        If steps correct the state before, the yielded states have one power less.
        """
        return _slope(self.steps, self.step_errors) - (not self.corrects) if self.step_errors else math.inf

    def reaches(self, order: float) -> bool:
        """Tell whether the measured order of runs is at least this one, within TOLERANCE."""
        return self.order > order - TOLERANCE

    def steps_reach(self, order: float) -> bool:
        """Tell whether the measured order of single steps is at least this one, within TOLERANCE_OF_STEPS."""
        return self.order_of_steps > order - TOLERANCE_OF_STEPS


def _slope(steps: Sequence[int], errors: Sequence[float]) -> float:
    seen = [(-math.log(n), math.log(e)) for n, e in zip(steps, errors, strict=True) if e > ROUNDING]
    return statistics.linear_regression(*zip(*seen, strict=True)).slope if len(seen) > 1 else math.inf


def convergence(
    sampler: Sampler,
    steps: tuple[int, ...] = STEPS,
    *,
    path: str = "VP",
    uneven: bool = False,
    between: tuple[float, float] = LOG_SNR,
) -> Convergence:
    """Measure the errors of a sampler between two levels, on grids that are uniform in log-SNR.

    A deterministic sampler is compared with the exact flow of the probability flow ODE, by the root mean square over
    nine points. A sampler that draws noise is compared by mean and variance, from an exact start: its weak order.

    A multistep method begins with steps of lower order, whose error would dominate if it declares an order above 2.
    Then the first step is split into steps that begin very small, so that their order does not matter.

    Args:
        path: kind of noise path: VP, VE or flow.
        uneven: make the steps alternately long and short.
        between: log-SNR of the two levels.

    Raises:
        ZooError: a stochastic sampler is not affine in its draws, its number of draws does not only depend on options
            and grid, or an error is not finite.
    """
    schedule, ramp = smooth_schedule(path), sampler.order > 2
    grids = [_grid(path, n, between, ramp=ramp, uneven=uneven) for n in steps]
    finest = max(grids, key=len)
    if _draws(sampler, finest, schedule):
        found = Convergence(steps, tuple(_weak_error(sampler, grid, schedule) for grid in grids))
    else:
        errors, step_errors = zip(*(_flow_errors(sampler, grid, schedule) for grid in grids), strict=True)
        found = Convergence(steps, errors, step_errors, corrects(sampler, schedule))
    if not all(map(math.isfinite, found.errors)):
        raise ZooError(f"{sampler!r} returns NaN or infinity between log-SNR {between[0]:g} and {between[1]:g}")
    return found


def _flow_errors(sampler: Sampler, grid: Grid, schedule: Schedule) -> tuple[float, float]:
    """Compare with the exact flow of a mixture. On a single Gaussian, the midpoint rule would be too good.

    Returns:
        Error of the run, and the largest error of a single step in its middle.
    """

    def noise() -> Tensor:
        raise ZooError(
            f"{sampler!r} draws noise in one run and none in another: only its options and the grid may decide that"
        )

    def denoise(x: Tensor, t: Level) -> Prediction:
        return model.denoise(x, t, model.condition(torch.full((len(x),), len(MEANS))))

    means = torch.tensor(MEANS, dtype=torch.float64)[:, None]
    model = learned(mixture(schedule, means, SPREAD, parametrization=usual(schedule)))
    start, end = (_quantiles(level) for level in _ends(grid))
    walk = walk_from(
        sampler, start.clone(), grid, Denoiser(denoise, schedule), noise
    )  # copies, so that a sampler that writes into x spoils no cache
    way = torch.stack([x.clone() for x in itertools.islice(walk, len(grid) - 1)])
    middle = slice(len(way) // 4, 3 * len(way) // 4)
    flowed = _flowed(way[middle], grid.levels[1:][middle], grid.levels[2:][middle])
    steps = way[middle.start + 1 : middle.stop + 1] - flowed
    return _size(way[-1] - end), max(map(_size, steps))


def corrects(sampler: Sampler, schedule: Schedule) -> bool:
    """Tell whether a step starts from another state than the one that was yielded, so that changing that has no effect.

    The data is a single point, so that x0 is the same for any input.
    """
    grid = _grid(schedule.kind, CORRECTED, ramp=False, uneven=False)
    model = learned(gaussian(schedule, 0.5, 0.0, parametrization=SAMPLE))
    number = len(grid) // 2
    reached = []
    for nudge in (0.0, 1.0):
        walk = walk_from(
            sampler, torch.ones(1, 1, dtype=torch.float64), grid, Denoiser(model.denoise, schedule), _nothing
        )
        *_, x = itertools.islice(walk, number)
        x += nudge
        reached.append(next(walk).clone())
    return _size(reached[1] - reached[0]) < 0.5  # the step is so small that otherwise this would be nearly 1


def _nothing() -> Tensor:
    return torch.zeros(1, 1, dtype=torch.float64)


def _weak_error(sampler: Sampler, grid: Grid, schedule: Schedule) -> float:
    """Compare mean and variance on Gaussians, where they are exact without Monte Carlo."""
    model = learned(gaussian(schedule, MEAN, STD, shape=MEAN.shape, parametrization=usual(schedule)))
    t, s = _ends(grid)

    def variance(level: Level) -> Tensor:
        return level.alpha**2 * STD**2 + level.sigma**2

    def output(noise: Callable[[], Tensor]) -> Tensor:
        x = t.alpha * MEAN + variance(t).sqrt() * noise()
        return _reached(sampler, x, grid, Denoiser(model.denoise, schedule), noise)

    out = moments_of(output, tuple(MEAN.shape), 1 + _draws(sampler, grid, schedule), sampler)
    return _size(torch.cat([out.mean - s.alpha * MEAN, out.std**2 - variance(s)]))


def _draws(sampler: Sampler, grid: Grid, schedule: Schedule) -> int:
    """Count the draws of noise up to the last noisy level."""
    return draws(sampler, grid, schedule, steps=len(grid) - 1)


def _reached(sampler: Sampler, x: Tensor, grid: Grid, denoise: Denoiser, noise: Callable[[], Tensor]) -> Tensor:
    """Walk to the last noisy level and return the state there."""
    *_, last = itertools.islice(walk_from(sampler, x, grid, denoise, noise), len(grid) - 1)
    return last


BETAS = (0.1, 20.0)
"""Beta at either end of the smooth path, per unit of time from 0 to 1 (Song et al. 2021, appendix C)."""

TIMESTEPS = 100_000
"""Training timesteps of the smooth path: so many that rounding a time to one has almost no effect."""


class SmoothVP(VP):
    """VP whose beta is linear in time between the timesteps, too (Song et al. 2021, eq. 32).

    Where beta is constant between two timesteps, its jumps hide the order of methods that step in tau.
    """

    def __init__(self) -> None:
        super().__init__(np.linspace(*BETAS, TIMESTEPS) / TIMESTEPS)

    def at(self, tau: float) -> Level:
        u, (low, high) = tau / TIMESTEPS, BETAS
        beta, depth = (low + u * (high - low)) / TIMESTEPS, u * (low + u * (high - low) / 2)  # depth is its integral
        alpha, sigma = math.exp(-depth / 2), math.sqrt(-math.expm1(-depth))
        return Level(float(tau), alpha, sigma, -beta / 2 * alpha, beta / 2 * alpha**2 / sigma if sigma else math.inf)

    def at_log_snr(self, log_snr: float) -> Level:
        depth, (low, high) = float(np.logaddexp(0.0, -log_snr)), BETAS  # abar = sigmoid(log_snr)
        return self.at(TIMESTEPS * 2 * depth / (low + math.sqrt(low**2 + 2 * (high - low) * depth)))


@functools.cache
def smooth_schedule(path: str) -> Schedule:
    """Return a path of this kind without jumps of beta."""
    kinds: dict[str, Callable[[], Schedule]] = {"VP": SmoothVP, "VE": VE, "flow": RectifiedFlow}
    return kinds[path]()


@functools.cache
def _grid(path: str, steps: int, between: tuple[float, float] = LOG_SNR, *, ramp: bool, uneven: bool) -> Grid:
    """Make the grid of a number of steps. A ramp splits the first step into 1/n, 1/n, 2/n, 4/n ... of it.

    Euler's method then leaves an error of about h^4 there.
    """
    schedule = smooth_schedule(path)
    low, high = between
    sizes = np.where(np.arange(steps) % 2, LONG if uneven else 1.0, 1.0)
    log_snr = low + (high - low) * np.concatenate([[0.0], np.cumsum(sizes)]) / sizes.sum()
    if ramp:
        halves = 2.0 ** -np.arange(math.ceil(math.log2(steps)), 0, -1)
        log_snr = np.insert(log_snr, 1, log_snr[0] + (log_snr[1] - log_snr[0]) * halves)
    return Grid((*(schedule.at_log_snr(float(value)) for value in log_snr), schedule.at(0)))


def _ends(grid: Grid) -> tuple[Level, Level]:
    return grid.levels[0], grid.levels[-2]


@functools.cache
def _quantiles(level: Level) -> Tensor:
    """Return nine quantiles of the mixture at a level, (9, 1).

    In one dimension a flow keeps its points in order. So quantiles flow to quantiles, and this is the exact flow map
    (Song et al. 2021, section 4.3: the marginals are those of the SDE).
    """
    return _at_shares(torch.linspace(0.1, 0.9, 9, dtype=torch.float64)[None, :, None], _Marginals([level]))[0]


def _flowed(x: Tensor, begin: Sequence[Level], end: Sequence[Level]) -> Tensor:
    """Return states (n, N, 1) after the exact flow, row n from level `begin[n]` to level `end[n]`."""
    return _at_shares(_Marginals(begin).share_below(x), _Marginals(end))


def _at_shares(shares: Tensor, marginals: _Marginals) -> Tensor:
    """Return the quantiles of the mixture at these shares, by bisection to the last bit."""
    low, high = shares * 0 - marginals.reach, shares * 0 + marginals.reach
    for _ in range(60):
        middle = (low + high) / 2
        below = marginals.share_below(middle) < shares
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


class _Marginals:
    """Distributions of the mixture at levels: row n of states (n, N, 1) is at level n."""

    def __init__(self, levels: Sequence[Level]) -> None:
        alpha, sigma = (
            torch.tensor([getattr(level, name) for level in levels], dtype=torch.float64)[:, None, None]
            for name in ("alpha", "sigma")
        )
        self._std = (alpha**2 * SPREAD**2 + sigma**2).sqrt()
        self._means = alpha * torch.tensor(MEANS, dtype=torch.float64)
        self.reach = 8.0 * self._std.clamp(min=1.0)

    def share_below(self, x: Tensor) -> Tensor:
        return torch.special.ndtr((x - self._means) / self._std).mean(-1, keepdim=True)


def _size(error: Tensor) -> float:
    return float(error.square().mean().sqrt())
