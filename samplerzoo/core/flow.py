"""Probability flow, solved by a method of high order: what deterministic samplers come near to with many steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Denoiser
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule, karras

EDGE = 1e-6
"""Relative distance from a jump of the denoiser at which a step ends before it, and the next one begins behind it."""


class RungeKutta(Sampler):
    """Runge-Kutta method of order 4 for the probability flow (Song et al. 2021, eq. 13), four evaluations a step.

    In rho = sigma / alpha it reads dy / drho = eps for y = x / alpha, which is smooth at both ends of every path.
    The last step returns x0 at the cleanest level that the network knows.
    """

    @property
    def order(self) -> int:
        return 4

    def step(
        self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        p = denoise(x, t)
        if s.clean:
            return p.x0
        rho, h = _rho(t), _rho(s) - _rho(t)
        middle = _level(denoise.schedule, rho + h / 2)
        y, k1 = x / t.alpha, p.eps
        k2 = denoise(middle.alpha * (y + h / 2 * k1), middle).eps
        k3 = denoise(middle.alpha * (y + h / 2 * k2), middle).eps
        k4 = denoise(s.alpha * (y + h * k3), s).eps
        return s.alpha * (y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))


def flow_grid(schedule: Schedule, steps: int, jumps: Iterable[float] = ()) -> Grid:
    """Return the grid of Karras et al. 2022 with a step that leaps over each jump of the denoiser.

    Args:
        steps: number of steps down to the cleanest level that the network knows; jumps add some.
        jumps: values of rho at which the denoiser is not continuous, as at the ends of a guidance's interval.
    """
    top, low = schedule.at(schedule.T), schedule.at(schedule.low)
    rhos = karras(_rho(top), _rho(low), steps + 1)[1:-1].tolist()
    for jump in jumps:
        if _rho(low) < jump < _rho(top):
            rhos += [jump * (1 + EDGE), jump * (1 - EDGE)]
    inner = [_level(schedule, rho) for rho in sorted(rhos, reverse=True)]
    return Grid((top, *inner, low, schedule.at(0.0)))


def _rho(level: Level) -> float:
    return level.sigma / level.alpha


def _level(schedule: Schedule, rho: float) -> Level:
    return schedule.at_log_snr(-2 * math.log(rho))
