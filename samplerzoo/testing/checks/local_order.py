"""Order of single steps all along a path, where the order of a run says nothing of one step among many."""

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
"""Log-SNR of the levels between which steps are looked at."""

STEP = 0.25
"""Size of a step in log-SNR, which is compared with both halves of it."""

STARTED, ENDING = 8, 4
"""Steps after which a method with memory has its order, and those before the last noisy level that may have a lower."""

HIGHEST = 2
"""Order that is looked for in those that have a higher one: their errors cross zero where these fall with it."""

FAINT = 2e-6
"""Error of half a step, in deviations of the level, which is too small to tell its order."""

PLACES = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)[:, None]
"""First states, in deviations from the mean."""


def check_order_of_every_step(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the error of a step falls with its size as fast as the declared order says, at every level of a path.

    It falls with one power more than that of a run. A step with an old answer in the place of a new one, or in a part
    of it, has a lower order. In a run it may hide: where it is one of many, or at levels where little else happens. The
    first steps and the last noisy ones are left out, where methods with memory may have a lower order. A step that
    draws noise has no error of its own, and is judged by `check_every_step`.
    """
    schedule, order = smooth_schedule(path.kind), min(sampler.order, HIGHEST)
    grid, finer = (_grid(path.kind, step) for step in (STEP, STEP / 2))
    try:
        whole, halves = _errors(sampler, schedule, grid), _errors(sampler, schedule, finer)
    except _DrawsError:
        return
    larger = halves.reshape(-1, 2).max(1)
    around = np.max([whole, np.r_[0.0, whole[:-1]], np.r_[whole[1:], 0.0]], axis=0)  # one alone may cross zero
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
    """Lay equal steps in log-SNR over a kind of path, and a last one to the clean level."""
    schedule, log_snr = smooth_schedule(kind), np.arange(FIRST, LAST + step / 2, step)
    return Grid((*(schedule.at_log_snr(float(value)) for value in log_snr), schedule.at(0.0)))


@torch.no_grad()
def _errors(sampler: Sampler, schedule: Schedule, grid: Grid) -> np.ndarray:
    """Return the error of every step to a noisy level, in deviations of that level, from the state it departs from."""
    x = _mean(grid.levels[0]) + exact_std(grid.levels[0]) * PLACES
    denoise = Denoiser(predictor(sampler, schedule), schedule)
    walk = walk_from(sampler, x, grid, denoise, _no_noise)
    way = [x.clone(), *(state.clone() for state in itertools.islice(walk, len(grid) - 1))]
    return np.array([
        float(((b - _flowed(a, t, s)) / exact_std(s)).square().mean().sqrt())
        for (t, s), a, b in zip(grid.pairs(), way, way[1:], strict=False)
    ])  # fmt: skip


class _DrawsError(Exception):
    """A sampler draws noise."""


def _no_noise() -> Tensor:
    raise _DrawsError


def _flowed(x: Tensor, t: Level, s: Level) -> Tensor:
    """Return where the exact flow of Gaussian data takes a state: it stays as many deviations from the mean."""
    return _mean(s) + (x - _mean(t)) * exact_std(s) / exact_std(t)


def _mean(level: Level) -> Tensor:
    return level.alpha * MEANS
