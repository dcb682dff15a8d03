"""Levels by their numbers in diffusers: sigmas and timesteps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import Model
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, numbers

if TYPE_CHECKING:
    import torch

SAME_TIMESTEP = 1e-4
"""Relative distance up to which two timesteps are the same, but for rounding."""
BEYOND = 1.01
"""Factor by which a sigma may exceed the largest one of a path, as rounded numbers of a list may."""


def level_told(model: Model, timestep: float) -> Level:
    """Return the level at which the network's time input is this number."""
    level = model.schedule.at(model.schedule.tau(timestep))
    if not same_timestep(model.parametrization.c_noise(level), timestep):
        raise UsageError(f"timestep {timestep:g}: on this {model.schedule.kind} path, give sigmas")
    return level


def telling(model: Model, grid: Grid, times: Sequence[float]) -> Model:
    """Return a model whose network gets these times at the levels of a grid, and interpolated times in between."""
    if len(times) != len(grid):
        raise UsageError(f"{len(times)} timesteps and {len(grid)} sigmas: the one is told at the other")
    taus = [level.tau for level in grid.levels[-2::-1]]

    def told(t: Level) -> float:
        return float(np.interp(t.tau, taus, times[::-1]))

    return replace(model, parametrization=replace(model.parametrization, c_noise=told))


def grid_told(model: Model, timesteps: Sequence[float] | torch.Tensor) -> Grid:
    """Return the grid of levels at which the network's time input is one of these numbers, and the clean level."""
    return Grid((*(level_told(model, t) for t in numbers("timesteps", timesteps)), model.schedule.at(0.0)))


def grid_at_sigmas(schedule: Schedule, sigmas: Sequence[float] | torch.Tensor) -> Grid:
    """Return the grid of noise levels as diffusers counts them, shifted as the schedule would.

    A 0 at their end may be left out.
    """
    noisy = numbers("sigmas", sigmas)
    noisy = noisy[:-1] if noisy and noisy[-1] == 0.0 else noisy
    noisy = noisy if schedule.shifted is None or not noisy else [*schedule.shifted(noisy)]
    return Grid((*(level_at_sigma(schedule, sigma) for sigma in noisy), schedule.at(0.0)))


def sigma_of(schedule: Schedule, level: Level) -> float:
    """Return the noise level as diffusers counts it."""
    match schedule.kind:
        case "flow":
            return level.sigma
        case "VE":
            return schedule.timestep(level.tau)
        case _:
            return level.sigma / level.alpha


def level_at_sigma(schedule: Schedule, sigma: float) -> Level:
    """Return the level with a noise level as diffusers counts it. Slightly above the top, it is the top."""
    if not sigma > 0:
        raise UsageError(f"sigma {sigma:g} in the middle of a run: they have to decrease, and be above 0")
    top = schedule.at(schedule.T)
    if sigma_of(schedule, top) < sigma <= BEYOND * sigma_of(schedule, top):
        return top
    match schedule.kind:
        case "flow":
            return schedule.at(sigma)
        case "VE":
            return schedule.at(schedule.tau(sigma))
        case _:
            return schedule.at_log_snr(-2 * math.log(sigma))


def same_timestep(a: float, b: float) -> bool:
    """Tell whether two timesteps are the same, but for rounding."""
    return abs(a - b) <= SAME_TIMESTEP * max(1.0, abs(a))
