"""Probability flow, solved by a method of high order: what deterministic samplers come near to with many steps."""

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
"""Relative distance in rho from a jump of the denoiser at which a step ends before it, and the next one begins."""


class AdamsBashforth(Sampler):
    """Adams-Bashforth method of order 4 for the probability flow (Song et al. 2021, eq. 13), on steps of any size.

    In rho = sigma / alpha it reads dy / drho = eps for y = x / alpha, which is smooth at both ends of every path. The
    first steps, at the top and behind a jump of the denoiser, know fewer levels. The last step returns x0.
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
                if -h < 3 * EDGE * _rho(t):  # over a jump: what was before it tells nothing of what follows
                    known = []
            yield x


def flow_grid(schedule: Schedule, steps: int, jumps: Iterable[float] = ()) -> Grid:
    """Return the levels of Karras et al. 2022, down to the cleanest one that a network knows, at whole timesteps.

    Between the timesteps that it was trained on a network answers less smoothly, and would need far more steps.

    Args:
        steps: number of levels, of which those are dropped that coincide; jumps add some.
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
