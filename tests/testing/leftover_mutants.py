"""Samplers and guidances that keep something from run to run, or from call to call, under a key that is too short."""

from __future__ import annotations

import functools
import math
from typing import ClassVar

import torch

from samplerzoo import Field, Guidance, Sampler, posterior_std


class Keeping(Sampler):
    """DPM-Solver++(2M), whose ratio of step sizes is kept (Lu et al. 2022b)."""

    order = property(lambda self: 2)

    def walk(self, x, grid, denoise, noise):
        before, levels = None, grid.levels
        for i, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            if s.clean:
                yield p.x0
                return
            h, d = s.lam - t.lam, p.x0
            if before is not None:
                r = self.kept(grid, i, (t.lam - levels[i - 1].lam) / h)
                d = (1 + 1 / (2 * r)) * p.x0 - 1 / (2 * r) * before
            x = s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * d
            before = p.x0
            yield x


def keeping(key):
    """Make such a sampler with a key of what it keeps."""
    kept = {}

    class Kept(Keeping):
        """2M with a ratio that is kept in the process (Lu et al. 2022b)."""

        def kept(self, grid, i, ratio):
            return kept.setdefault((key(grid, i), i), ratio)

    return Kept


class ByNumberOfSteps(keeping(lambda grid, i: len(grid))):
    """Step sizes are kept by the number of steps (Lu et al. 2022b)."""


class ByNumberAndEnds(keeping(lambda grid, i: (len(grid), grid.levels[0].lam, grid.levels[-2].lam))):
    """Step sizes are kept by the number of steps and both ends (Lu et al. 2022b)."""


class ByLevel(keeping(lambda grid, i: grid.levels[i].lam)):
    """Step sizes are kept by the level that a step begins at (Lu et al. 2022b)."""


class ByRoundedEnds(keeping(lambda grid, i: (len(grid), round(grid.levels[0].tau, 1)))):
    """Step sizes are kept by the number of steps and the first time in few digits (Lu et al. 2022b)."""


class ByTimes(keeping(lambda grid, i: tuple(level.tau for level in grid.levels))):
    """Step sizes are kept by all times, on any schedule (Lu et al. 2022b)."""


stds = {}


class OfOtherOptions(Sampler):
    """DDIM whose deviation is kept by the levels of a step, whatever eta is (Song, Meng, Ermon 2021)."""

    eta: float = Field(0.5, ge=0.0, le=1.0, description="share of the ancestral sampler's deviation")

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        std = stds.setdefault((t, s), self.eta * posterior_std(t, s))
        return s.alpha * p.x0 + math.sqrt(s.sigma**2 - std**2) * p.eps + (std * noise() if std else 0.0)


@functools.cache
def buffer(shape):
    """Return a first prediction, which comes to stay."""
    return []


class FirstPredictionOfAShape(Sampler):
    """DDIM that mixes a little of the first x0 of a shape into that of every run (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p, first = denoise(x, t), buffer(tuple(x.shape))
        if not first:
            first.append(p.x0)
        return s.alpha * (p.x0 + (0.0 if s.clean else 1e-3) * (first[0].to(x) - p.x0)) + s.sigma * p.eps


class EverySecondCall(Guidance):
    """Classifier-free guidance that asks without a label at every second call (Ho and Salimans 2022)."""

    first: ClassVar = 1

    def guide(self, denoise, condition, model):
        null, kept, calls = model.unconditional(condition), [], []

        def guided(x, t):
            if self.scale in (0, 1):
                return denoise(x, t, condition if self.scale else null)
            calls.append(t)
            if not kept or len(calls) % 2 == self.first:
                kept[:] = [denoise(x, t, null)]
            c = denoise(x, t, condition)
            return c.replace(eps=kept[0].eps + self.scale * (c.eps - kept[0].eps))

        return guided


class EveryEvenCall(EverySecondCall):
    """The same, at the even ones (Ho and Salimans 2022)."""

    first: ClassVar = 0


answers = []


class LabelsAreForgotten(Guidance):
    """Classifier-free guidance whose last answer is kept by state and level (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        null = model.unconditional(condition)

        def guided(x, t):
            for state, level, scale, p in answers:
                if level == t and scale == self.scale and state.shape == x.shape and torch.equal(state, x):
                    return p
            c, u = denoise(x, t, condition), denoise(x, t, null)
            p = c.replace(eps=u.eps + self.scale * (c.eps - u.eps))
            answers[:] = [*answers[-3:], (x.clone(), t, self.scale, p)]
            return p

        return guided


LEFTOVER_MUTANTS: list[Sampler] = [
    ByNumberOfSteps(),
    ByNumberAndEnds(),
    ByLevel(),
    ByRoundedEnds(),
    ByTimes(),
    OfOtherOptions(),
    FirstPredictionOfAShape(),
]

FORGETFUL_GUIDANCES: list[Guidance] = [EverySecondCall(), EveryEvenCall(), LabelsAreForgotten()]
