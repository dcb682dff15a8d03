"""Order of single steps all along a path, since the order of a run does not reveal one bad step among many."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import torch
from torch import Tensor

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Denoiser
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.testing.convergence import TOLERANCE_OF_STEPS, corrects, smooth_schedule
from samplerzoo.testing.fixtures import ON_VP, Path
from samplerzoo.testing.steps import MEANS, exact_std, predictor

FIRST, LAST = -8.5, 7.0
"""Log-SNR of the levels between which steps are examined."""

STEP = 0.25
"""Size of a step in log-SNR. It is compared with two steps of half the size."""

STARTED, ENDING = 8, 4
"""Steps at the beginning and at the end that may have a lower order in a method with memory, and are left out."""

HIGHEST = 2
"""Largest order that is required. For methods of higher order, errors may cross zero, so they need only this one."""

FAINT = 2e-6
"""Error of half a step, in standard deviations of the level, that is too small to measure an order."""

PLACES = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)[:, None]
"""First states, in standard deviations from the mean."""


def check_order_of_every_step(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the error of a step falls with its size as fast as the declared order says, at every level of a path.

    The exponent is one more than for a run. A step that uses an old answer instead of a new one, or in a part of the
    new one, has a lower order. In a run this may stay hidden if it is one step among many, or at levels with little
    effect. The first steps and the last noisy ones are left out, where methods with memory may have a lower order. A
    sampler that draws noise is judged by `check_every_step` instead.
    """
    schedule, order = smooth_schedule(path.kind), min(sampler.order, HIGHEST)
    grid, finer = (_grid(path.kind, step) for step in (STEP, STEP / 2))
    try:
        whole, halves = _errors(sampler, schedule, grid), _errors(sampler, schedule, finer)
    except _DrawsError:
        return
    larger = halves.reshape(-1, 2).max(1)
    around = np.max([whole, np.r_[0.0, whole[:-1]], np.r_[whole[1:], 0.0]], axis=0)  # a single error may cross zero
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log2(around / larger) - (not corrects(sampler, schedule))
    for number in range(STARTED, len(found) - ENDING):
        assert larger[number] <= FAINT or found[number] > order - TOLERANCE_OF_STEPS, (
            f"it declares order {sampler.order}, and steps near log-SNR {grid.levels[number].log_snr:.3g} have order "
            f"{found[number]:.2f}: of a size of {STEP:g} in log-SNR they are off by {around[number]:.2g}, and of half "
            f"that size by {larger[number]:.2g}"
        )


@functools.cache
def _grid(kind: str, step: float) -> Grid:
    """Return a grid of equal steps in log-SNR on a kind of path, and a last step to the clean level."""
    schedule, log_snr = smooth_schedule(kind), np.arange(FIRST, LAST + step / 2, step)
    return Grid((*(schedule.at_log_snr(float(value)) for value in log_snr), schedule.at(0.0)))


@torch.no_grad()
def _errors(sampler: Sampler, schedule: Schedule, grid: Grid) -> np.ndarray:
    """Return the error of every step to a noisy level, in standard deviations of it, relative to the exact flow."""
    x = _mean(grid.levels[0]) + exact_std(grid.levels[0]) * PLACES
    denoise = Denoiser(predictor(sampler, schedule), schedule)
    walk = walk_from(sampler, x, grid, denoise, _no_noise)
    way = [x.clone(), *(state.clone() for state in itertools.islice(walk, len(grid) - 1))]
    return np.array([
        float(((b - _flowed(a, t, s)) / exact_std(s)).square().mean().sqrt())
        for (t, s), a, b in zip(grid.pairs(), way, way[1:], strict=False)
    ])  # fmt: skip


class _DrawsError(Exception):
    """Exception for a sampler that draws noise."""


def _no_noise() -> Tensor:
    raise _DrawsError


def _flowed(x: Tensor, t: Level, s: Level) -> Tensor:
    """Return the state after the exact flow of Gaussian data, which keeps its distance from the mean in deviations."""
    return _mean(s) + (x - _mean(t)) * exact_std(s) / exact_std(t)


def _mean(level: Level) -> Tensor:
    return level.alpha * MEANS
