"""Analysis of every step of a sampler on exact data: the terms of its states, and of each input of the network.

On Gaussian data a sampler is affine in its draws, so that a few rows of given draws show what a step does: its factor
on the state that it began with, what it adds, and the size of its fresh noise. They give the mean and the deviation
that the result would have if the step had begun with an exact state. These must be those of the result's level, but for
an error of second order in the size of the step. So each step is judged independently of the steps before it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplerzoo.core.exact import consistency
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.testing.fixtures import Predict, gaussian_predictor

MEANS = torch.tensor([0.5, -1.5, 2.0, 0.5, -1.0], dtype=torch.float64)
STDS = torch.tensor([0.0, 0.1, 0.5, 1.0, 2.0], dtype=torch.float64)
"""Standard deviations of data with five elements. The first is a single point, whose state is alpha x0 + sigma eps."""

WEIGHT = 0.3
"""Learned variance of the model: not one half, so that its two bounds cannot be confused."""

SAME = 1e-9
"""Relative distance up to which float64 numbers count as equal."""

FADED = 1e-12
"""Share of the power of recent draws below which the first state has no measurable influence."""

REMEMBERED = 4
"""Number of earlier steps that a method with memory is assumed to build on."""

DRAWS = 2
"""Number of draws per step that a first run can distinguish."""


@dataclass(frozen=True, eq=False)
class Laws:
    """Means and deviations that tensors of a sampler have if the step of each begins with an exact state.

    Attributes:
        alpha, sigma: values at the level of a tensor, according to the sampler, (..., 1).
        t_alpha, t_sigma: values at the level at which the step begins, (..., 1).
        span: distance in lambda between the farthest levels of the step so far, or of an earlier step that a method
            with memory builds on, (..., 1).
        jump: change of log beta at the whole timesteps that the step crosses, (..., 1).
        mean, std: mean and deviation of the tensor, (..., 5).
        fresh: deviation of the fresh noise in it, (..., 5).
    """

    alpha: Tensor
    sigma: Tensor
    t_alpha: Tensor
    t_sigma: Tensor
    span: Tensor
    jump: Tensor
    mean: Tensor
    std: Tensor
    fresh: Tensor

    def __getitem__(self, row: int) -> Laws:
        return Laws(*(getattr(self, field.name)[row] for field in dataclasses.fields(Laws)))

    @functools.cached_property
    def expected(self) -> Tensor:
        """Deviation of an exact state at the level."""
        return (self.alpha**2 * STDS**2 + self.sigma**2).sqrt()

    @functools.cached_property
    def mean_error(self) -> Tensor:
        """Error of the mean, in deviations of the level; infinity or NaN for a single point at the clean level."""
        return (self.mean - self.alpha * MEANS) / self.expected

    @functools.cached_property
    def std_error(self) -> Tensor:
        """Relative error of the deviation."""
        return self.std / self.expected - 1.0

    @functools.cached_property
    def size(self) -> Tensor:
        """Size of the step so far: its relative change of the noise level, plus the share of fresh noise."""
        return self.span.expm1() + self.fresh_share / 2

    @property
    def off_on_a_point(self) -> Tensor:
        """Error of mean or deviation on data that is a single point, scaled down for steps over a large span."""
        off = torch.maximum(self.mean_error[..., :1].abs(), self.std_error[..., :1].abs())
        return off / (3 * self.span).exp()

    @functools.cached_property
    def fresh_share(self) -> Tensor:
        """Share of the fresh noise in the variance of the level."""
        return (self.fresh / self.expected).square().amax(-1, keepdim=True)

    @property
    def x0_share(self) -> float:
        """Factor of x0 in a state of a single point, which is alpha at the level of the state."""
        return float(self.mean[0] / MEANS[0])

    @property
    def noise_share(self) -> float:
        """Deviation of the noise in a state of a single point, which is sigma at the level of the state."""
        return float(self.std[0])


@dataclass(frozen=True)
class Point:
    """Tensor that a sampler makes in a step: an input of the network, or the state that the step yields.

    Attributes:
        number: number of the step, from 1.
        t, s: levels at which the step begins and ends.
        level: level of the tensor, according to the sampler.
        asked: True if it is given to the network, False if it is yielded.
        as_begun: True if it is the state that the step began with.
    """

    number: int
    t: Level
    s: Level
    level: Level
    asked: bool
    as_begun: bool


def exact_std(level: Level) -> Tensor:
    """Return the deviation of an exact state at a level, (5,)."""
    return (level.alpha**2 * STDS**2 + level.sigma**2).sqrt()


def points(sampler: Sampler, schedule: Schedule, grid: Grid, *, learned: bool = True) -> tuple[list[Point], Laws]:
    """Walk over a grid from an exact state. Return the tensors that the sampler makes, in order, and their laws.

    Row n of the laws belongs to point n.

    Args:
        learned: True if the network has a learned variance.
    """
    exact = predictor(sampler, schedule, learned=learned)
    run = _Run(sampler, exact, schedule, grid, DRAWS)
    if run.most > DRAWS:
        run = _Run(sampler, exact, schedule, grid, run.most)
    return run.points()


def predictor(sampler: Sampler, schedule: Schedule, *, learned: bool = True) -> Predict:
    """Return the exact denoiser of the data, or that of a consistency model if the sampler does not need the mean."""
    if not sampler.needs_mean:
        return consistency(schedule, MEANS, STDS, shape=MEANS.shape).denoise
    return gaussian_predictor(MEANS, STDS, WEIGHT if learned else None)


class _Run:
    """Run whose rows have different draws: row 0 none, row 1 that of the first state, and the others take turns.

    There are twice as many rows for draws as a step has draws, so that there is always a row with noise of earlier
    steps but none of the current one.
    """

    @torch.no_grad()
    def __init__(
        self,
        sampler: Sampler,
        exact: Predict,
        schedule: Schedule,
        grid: Grid,
        draws: int,
    ) -> None:
        self.rows, self.drawn, self.most = 2 + 2 * draws, 0, 0
        drawn_before = 0
        self.hits = torch.zeros(self.rows, dtype=torch.float64)
        self.made: list[tuple[int, Level, bool, Tensor, Tensor]] = []
        self.grid, self.step = list(grid.pairs()), 0
        self._schedule, top = schedule, grid.levels[0]

        def predict(x: Tensor, level: Level) -> Prediction:
            self.made.append((self.step, level, True, x.clone(), self.hits))
            return exact(x, level)

        x = top.alpha * MEANS.expand(self.rows, -1).clone()
        x[1] += exact_std(top)
        self.states = [x.clone()]
        walk = walk_from(sampler, x, grid, Denoiser(predict, schedule), self._noise)
        for state, (_, s) in zip(walk, self.grid, strict=False):  # the number of states is checked elsewhere
            self.states.append(state.clone())
            self.made.append((self.step, s, False, state.clone(), self.hits))
            self.most, drawn_before = max(self.most, self.drawn - drawn_before), self.drawn
            self.hits = torch.zeros_like(self.hits)
            self.step += 1

    def _noise(self) -> Tensor:
        z = torch.zeros(self.rows, len(MEANS), dtype=torch.float64)
        turn, row = divmod(self.drawn, self.rows - 2)
        sign = -1.0 if turn % 2 else 1.0  # alternating, so that the draws of a row do not add up
        z[2 + row] = sign
        self.hits = self.hits.clone()
        self.hits[2 + row] += sign
        self.drawn += 1
        return z

    def _check_equal_rows(self) -> None:
        """Check that the rows without any draw are equal in the first step."""
        for _, level, asked, x, hits in itertools.takewhile(lambda made: made[0] == 0, self.made):
            alike = hits[2:] == 0.0
            off = float((x[2:][alike] - x[0]).abs().max()) if alike.any() else 0.0
            assert off <= SAME * max(1.0, float(x.abs().max())), (
                f"in step 1 images that are equal, and that noise() gives equal numbers, differ by {off:.2g} in the "
                f"{'x that the network is asked about' if asked else 'state'} at tau {level.tau:.6g}: take all random "
                "numbers from noise(), in the step that uses them, and no image from others of the batch"
            )

    def points(self) -> tuple[list[Point], Laws]:
        """Return all tensors with their laws. Rows without fresh noise give the factor of the state.

        Raises:
            AssertionError: equal images with equal noise become different.
        """
        self._check_equal_rows()
        steps, levels, asked, made, hits = zip(*self.made, strict=True)
        begun = torch.tensor(steps)
        before, x = torch.stack(self.states)[begun], torch.stack(made)
        fresh_rows = torch.stack(hits)[..., None]
        old = (fresh_rows == 0.0) * (before - before[:, :1])
        first, others = old[:, 1:2].square(), old[:, 2:].square().amax(1, keepdim=True)
        old[:, 2:] *= first < FADED * others  # while the first state matters, skip rows with draws that memory may hold
        new = x - x[:, :1]
        power = old.square().sum(1)
        factor = torch.where(power > 0, (old * new).sum(1) / power.clamp(min=1e-300), 0.0)
        noise = (fresh_rows != 0.0) * (new - factor[:, None] * (before - before[:, :1]))
        fresh = noise.square().sum(1)
        t_alpha, t_sigma = (part[begun] for part in _columns([t for t, _ in self.grid]))
        mean = x[:, 0] + factor * (t_alpha * MEANS - before[:, 0])
        variance = factor.square() * (t_alpha**2 * STDS**2 + t_sigma**2) + fresh
        span = _Span(self.grid)
        spans = torch.tensor([[span(*place)] for place in zip(steps, levels, strict=True)], dtype=torch.float64)
        jumps = torch.tensor([[_jump(self._schedule, *pair)] for pair in self.grid], dtype=torch.float64)[begun]
        laws = Laws(*_columns(levels), t_alpha, t_sigma, spans, jumps, mean, variance.sqrt(), fresh.sqrt())
        same = ((x - before).abs().amax((1, 2)) <= SAME * x.abs().amax((1, 2)).clamp(min=1.0)).tolist()
        places = [(step + 1, *self.grid[step]) for step in steps]
        return [
            Point(number, t, s, level, asks, asks and unchanged)
            for (number, t, s), level, asks, unchanged in zip(places, levels, asked, same, strict=True)
        ], laws


def _columns(levels: Sequence[Level]) -> tuple[Tensor, Tensor]:
    """Return alpha and sigma of levels, each (levels, 1)."""
    both = torch.tensor([(level.alpha, level.sigma) for level in levels], dtype=torch.float64)
    return both[:, :1], both[:, 1:]


def _jump(schedule: Schedule, t: Level, s: Level) -> float:
    """Return the difference of log beta between the ends of a step, if whole timesteps lie between them."""
    apart = schedule.whole is not None and math.ceil(t.tau) != math.ceil(s.tau)
    return abs(math.log(t.rate / s.rate)) if apart and not s.clean else 0.0


class _Span:
    """Distance in lambda between the farthest levels of a step so far, or of an earlier step if that is larger."""

    def __init__(self, grid: list[tuple[Level, Level]]) -> None:
        self._grid, self._step, self._seen = grid, -1, [0.0]
        self._before: deque[float] = deque([0.0], maxlen=REMEMBERED)

    def __call__(self, step: int, level: Level) -> float:
        if step != self._step:
            self._before.append(max(self._seen) - min(self._seen))
            self._step, self._seen = step, [self._grid[step][0].lam]
        if not level.clean:
            self._seen.append(level.lam)
        return max(max(self._seen) - min(self._seen), *self._before)


def fine_grids(schedule: Schedule) -> dict[str, Grid]:
    """Return grids of alternately longer and shorter small steps over parts of a path, from its top to low noise.

    Some have few steps and some many, since a method may begin or end in a special way. One grid has the same times on
    every schedule, so that values cached by time for another schedule show.
    """
    top = schedule.at(schedule.T).log_snr
    starts = [top, *(start for start in FINE_STARTS if start > top + 1.0)]
    found = {
        f"{FINE_STEPS} small steps from log-SNR {start:.3g}": _fine(schedule, start, FINE_STEPS) for start in starts
    }
    few = {f"{n} small step{'s' * (n > 1)} from log-SNR -1": _fine(schedule, -1.0, n) for n in (1, 2, 3, 5)}
    return found | few | {f"{FINE_STEPS} small steps from 0.6 T": _by_time(schedule)}


def whole_grid(schedule: Schedule) -> dict[str, Grid]:
    """Return a grid of small steps over the whole path, and on to a level that is cleaner than any of training."""
    top = schedule.at(schedule.T).log_snr
    steps = math.ceil((schedule.at(schedule.low).log_snr + BEYOND - top) / (SHORT + LONG))
    return {f"{steps} small steps over the whole path": _fine(schedule, top, steps)}


def coarse_grids(sampler: Sampler, schedule: Schedule, spacings: Sequence[str]) -> dict[str, Grid]:
    """Return the sampler's own grids for numbers of steps that users request, so that steps are large."""
    runs = itertools.product(spacings, COARSE_STEPS)
    return {f"{n} {spacing} steps": grid_of(sampler, schedule, n, spacing) for spacing, n in runs}


FINE_STARTS = (-6.0, -2.0, 1.0, 4.0)
FINE_STEPS = 24
SHORT, LONG = 0.02, 0.06
"""Sizes of small steps in lambda."""
BEYOND = 1.0
"""Log-SNR by which small steps over a whole path go beyond the cleanest level of training."""
COARSE_STEPS = (2, 3, 4, 7)


def _fine(schedule: Schedule, start: float, steps: int) -> Grid:
    first = schedule.at(schedule.T) if start == schedule.at(schedule.T).log_snr else schedule.at_log_snr(start)
    levels, log_snr = [first], start
    for n in range(steps):
        log_snr += 2 * (LONG if n % 2 else SHORT)
        levels.append(schedule.at_log_snr(log_snr))
    return Grid((*levels, schedule.at(0.0)))


def _by_time(schedule: Schedule) -> Grid:
    shares = 0.6 - 0.003 * np.cumsum([0, *([1, 3] * (FINE_STEPS // 2))])
    return Grid((*(schedule.at(float(share) * schedule.T) for share in shares), schedule.at(0.0)))


def log_snr_of(law: Laws) -> float:
    """Return the log-SNR that a state of a single point has."""
    if not (law.x0_share > 0 and law.noise_share > 0):
        return math.nan
    return 2.0 * math.log(law.x0_share / law.noise_share)
