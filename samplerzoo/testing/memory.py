"""Order of a method with memory for given predictions, and the number of predictions that a step builds on.

If x0 or eps is a function of lambda only, the flow is an integral (Lu et al. 2022b, eq. 9, and Lu et al. 2022,
proposition 3.1). A step is then a weighted sum of predictions, and noise and state play no part in its error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.parametrization import EPSILON, SAMPLE
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.testing.convergence import corrects, smooth_schedule
from samplerzoo.testing.fixtures import Flow

Given = Literal["x0", "eps"]

STEPS = 64
"""Steps of the runs whose errors are compared, between the first and the last quarter."""

SHORT = (8, 10, 15, 20)
"""Steps of further runs, since a method may do something else in short ones."""

STARTED, ENDING = 4, 2
"""Steps at the beginning and at the end of short runs that may have a lower order, and are left out."""

LOWER = 0.25
"""By how much the order of short runs must be lower to count, since the next terms of their errors are larger."""

FEW = 24
"""Steps of a run in the middle of which predictions are counted."""

MIDDLE = -1.0
SPANS = (1.5, 0.375, 0.1875)
"""Log-SNR in the middle of the runs, and their lengths in log-SNR. All have the same number of steps.

There are three lengths, since an error may cross zero between two.
"""

LONG = 2.0
"""Size of the long steps of a grid relative to the short ones. They alternate."""

MOST = 6
"""Largest number of predictions that a step may build on. With more, the state itself depends on all of them."""

TRACE = 1e-9
"""Weight of a prediction below which it counts as rounding."""

ROUNDING = 2e-13
"""Size below which an error counts as rounding of float64."""

WEIGHT = 0.3
"""Learned variance of the predictions."""

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)
"""Quadrature over a step, exact but for rounding."""


@dataclass(frozen=True)
class Memory:
    """Memory of a method, on one kind of path.

    Attributes:
        given: kind of prediction that it builds on.
        count: number of predictions that a step builds on, up to the level at which it begins.
        order: order of a run in which these predictions are given functions of lambda.
        steps: steps of that run, which has the lowest order of those measured.
        gain: error of DDIM in a long run, which has no memory, relative to that of the method.
    """

    given: Given
    count: int
    order: float
    steps: int
    gain: float


def memory(sampler: Sampler, schedule: Schedule) -> Memory | None:
    """Measure the memory of a sampler; None if steps do not use predictions of earlier steps."""
    counts: dict[Given, int] = {given: _count(sampler, schedule, given) for given in ("x0", "eps")}
    given = min(counts, key=lambda key: counts[key])
    if not 1 < counts[given] <= MOST:
        return None
    odd = not corrects(sampler, smooth_schedule(schedule.kind))

    def measured(steps: int, begin: int, end: int) -> tuple[float, float]:
        """Return the order, and the error of DDIM relative to that of the sampler on the longest grid."""
        grids, between = [_grid(schedule, steps, span) for span in SPANS], (begin, end - ((end - begin) % 2 != odd))
        errors = [_error(sampler, schedule, grid, given, between) for grid in grids]
        return _order(errors), _error(Flow(), schedule, grids[0], given, between) / max(errors[0], ROUNDING)

    order, gain = measured(STEPS, STEPS // 4, 3 * STEPS // 4 + 1)
    short = {steps: measured(steps, STARTED, steps - ENDING)[0] for steps in SHORT}
    lowest = min(short, key=lambda steps: short[steps])
    if short[lowest] < order - LOWER:
        return Memory(given, counts[given], short[lowest], lowest, gain)
    return Memory(given, counts[given], order, STEPS, gain)


def _order(errors: Sequence[float]) -> float:
    """Return the lowest order between errors of runs of SPANS; infinite if they are rounding."""
    orders = [math.inf]
    for (span, error), (shorter, smaller) in itertools.pairwise(zip(SPANS, errors, strict=True)):
        if min(error, smaller) > ROUNDING:  # with a fixed number of steps, the error of a run falls like that of a step
            orders.append(math.log(error / smaller) / math.log(span / shorter) - 1)
    return min(orders)


def _grid(schedule: Schedule, steps: int, span: float) -> Grid:
    ends = np.cumsum([0.0, *itertools.islice(itertools.cycle((1.0, LONG)), steps)])
    levels = (schedule.at_log_snr(float(MIDDLE + span * (end / ends[-1] - 0.5))) for end in ends)
    return Grid((*levels, schedule.at(0.0)))


def _count(sampler: Sampler, schedule: Schedule, given: Given) -> int:
    """Count the predictions that a step in the middle of a run builds on, with an impulse in each."""
    grid, asked = _grid(schedule, FEW, SPANS[0]), [0.0]

    def keep(level: Level) -> list[float]:
        asked.append(level.tau)
        return [0.0]

    _walk(sampler, schedule, grid, given, keep)
    taus = [*dict.fromkeys(asked)]  # the first one is that of no prediction
    states = _walk(sampler, schedule, grid, given, lambda level: [float(level.tau == tau) for tau in taus])
    number = len(grid) // 2
    moved = (states / states[:, :1] - 1)[number : number + 2]  # relative to row 0, which has the factor of the state
    trace = (moved[1] - moved[0]).abs() > TRACE * float(moved.abs().max())
    return sum(bool(seen) for seen, tau in zip(trace, taus, strict=True) if tau >= grid.levels[number].tau)


@torch.no_grad()
def _walk(
    sampler: Sampler, schedule: Schedule, grid: Grid, given: Given, value: Callable[[Level], list[float]]
) -> Tensor:
    """Walk without noise up to the last noisy level, from a state of ones.

    Args:
        value: predictions of the rows of a batch, as a function of the level.

    Returns:
        All states, (steps, rows).
    """
    rows = len(value(grid.levels[0]))

    def predict(x: Tensor, level: Level) -> Prediction:
        found = torch.tensor(value(level), dtype=torch.float64)[:, None]
        kind = SAMPLE if given == "x0" else EPSILON
        return Prediction.of(kind, x, level, found, torch.full_like(x, WEIGHT))

    x = torch.ones(rows, 1, dtype=torch.float64)
    walk = walk_from(sampler, x, grid, Denoiser(predict, schedule), lambda: torch.zeros(rows, 1, dtype=torch.float64))
    return torch.stack([x, *(state.clone() for state in itertools.islice(walk, len(grid) - 1))])[..., 0]


def _functions(lam: np.ndarray) -> np.ndarray:
    """Return predictions as functions of lambda, (5, *).

    The first one is zero, which shows the factor of the state. The second one is 1, which shows the sum of the weights.
    """
    return np.stack([0 * lam, 0 * lam + 1, np.sin(lam), np.cos(lam), np.sin(2 * lam)])


def _error(sampler: Sampler, schedule: Schedule, grid: Grid, given: Given, between: tuple[int, int]) -> float:
    """Return the error of a run between two of its levels, where a method has all of its memory.

    If their distance is odd, the first and the last step differ in length. In a run of an even number, errors that a
    step makes and the next one takes back leave no trace, as those of a ratio of two steps that is upside down. A
    method that corrects the state before does so on purpose: what the two end states lack must be the same.
    """
    states = _walk(sampler, schedule, grid, given, lambda level: _functions(np.array(level.lam)).tolist()).numpy()
    begin, end = between
    alpha, sigma, lam = (
        np.array([getattr(level, name) for level in grid.levels[begin : end + 1]]) for name in ("alpha", "sigma", "lam")
    )
    kept = states[begin + 1 : end + 1, 0] / states[begin:end, 0]
    h, at = np.diff(lam), lam[:-1, None] + np.diff(lam)[:, None] / 2 * (NODES + 1)
    if given == "eps":
        kernel = -alpha[1:, None] * np.exp(-at)
    else:  # a step that draws noise forgets the state faster
        rate = 1 - np.log(kept * sigma[:-1] / sigma[1:]) / h
        kernel = (alpha[1:] * rate)[:, None] * np.exp(-rate[:, None] * (lam[1:, None] - at))
    added = (_functions(at) * kernel * WEIGHTS).sum(-1)
    one = states[begin + 1 : end + 1, 1] - kept * states[begin:end, 1]
    exact = states[begin]
    for factor, part in zip(kept, (added * one / added[1]).T, strict=True):  # normalised, since noise changes the sum
        exact = factor * exact + part
    size = alpha[-1] if given == "eps" else sigma[-1]  # the scale of a state for given predictions
    return float(np.sqrt(np.square((states[end] - exact) / size).mean()))
