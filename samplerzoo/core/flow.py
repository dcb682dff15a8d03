"""Probability flow, solved by a method of high order: the limit of deterministic samplers for many steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Denoiser
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule, karras

ORDER = 4
EDGE = 1e-6
"""Relative distance in rho between a jump of the denoiser and the levels on each side of it."""


class AdamsBashforth(Sampler):
    """Adams-Bashforth method of order 4 for the probability flow (Song et al. 2021, eq. 13), on steps of any size.

    In rho = sigma / alpha the flow is dy / drho = eps for y = x / alpha, which is smooth at both ends of every path.
    The first steps, at the top and after a jump of the denoiser, use fewer levels. The last step returns x0.
    """

    @property
    def order(self) -> int:
        return ORDER

    def walk(
        self, x: torch.Tensor, grid: Grid, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        known: list[tuple[float, torch.Tensor]] = []  # rho and eps of levels, the newest first
        for t, s in grid.pairs():
            p = denoise(x, t)
            known = [(_rho(t), p.eps), *known][:ORDER]
            if s.clean:
                x = p.x0
            else:
                h = _rho(s) - _rho(t)
                nodes = np.array([(rho - _rho(t)) / h for rho, _ in known])
                powers = np.vander(nodes, increasing=True).T
                weights = np.linalg.solve(powers, 1 / np.arange(1, len(nodes) + 1))  # exact for polynomials
                slope = sum((float(w) * eps for w, (_, eps) in zip(weights, known, strict=True)), 0 * x)
                x = s.alpha * (x / t.alpha + h * slope)
                if -h < 3 * EDGE * _rho(t):  # a step over a jump: levels before it are useless after it
                    known = []
            yield x


def flow_grid(schedule: Schedule, steps: int, jumps: Iterable[float] = ()) -> Grid:
    """Return the levels of Karras et al. 2022, down to the cleanest one that the network knows.

    On paths with training timesteps the levels are rounded to these: between them a network's answers are less smooth,
    and would need far more steps.

    Args:
        steps: number of levels. Levels that coincide after rounding are dropped, and two are added at every jump.
        jumps: values of rho at which the denoiser is not continuous, as at the ends of a guidance's interval.
    """
    top, low = schedule.at(schedule.T), schedule.at(schedule.low)
    taus = [_level(schedule, rho).tau for rho in karras(_rho(top), _rho(low), steps)[1:-1].tolist()]
    if schedule.whole is not None:
        taus = [float(round(tau)) for tau in taus]
    for jump in jumps:
        if _rho(low) < jump < _rho(top):
            taus += [_level(schedule, jump * factor).tau for factor in (1 + EDGE, 1 - EDGE)]
    inner = sorted({tau for tau in taus if low.tau < tau < top.tau}, reverse=True)
    return Grid((top, *map(schedule.at, inner), low, schedule.at(0.0)))


def _rho(level: Level) -> float:
    return level.sigma / level.alpha


def _level(schedule: Schedule, rho: float) -> Level:
    return schedule.at_log_snr(-2 * math.log(rho))
