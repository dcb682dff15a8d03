"""Samplers and guidances whose images wrongly depend on other runs, calls, images or random numbers."""

from __future__ import annotations

import functools
import math
from typing import ClassVar

import numpy as np
import torch
from correct_methods import StochasticAdams

from samplerzoo import Field, Guidance, Sampler, UsageError, posterior_std


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


class ByAllLevels(keeping(lambda grid, i: grid.levels)):
    """Step sizes are kept by all levels, which is right (Lu et al. 2022b)."""


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


tops = {}


class ByIdOfTheSchedule(Sampler):
    """DDIM whose noise fades towards the top of a path, which is kept by an id (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        top = tops.setdefault(id(denoise.schedule), denoise.schedule.at(denoise.schedule.T).log_snr)
        if s.clean:
            return p.x0
        std = posterior_std(t, s) * max(1 - t.log_snr / top, 0.0) / 2
        return s.alpha * p.x0 + math.sqrt(s.sigma**2 - std**2) * p.eps + (std * noise() if std else 0.0)


of_runs = {}


class KeptByTheDenoiser(Sampler):
    """DPM-Solver++(2M) whose history is kept by the denoiser's id, and so outlives its run (Lu et al. 2022b)."""

    order = property(lambda self: 2)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h, d = s.lam - t.lam, p.x0
        u, before = of_runs.get(id(denoise), (t, d))
        if u.lam < t.lam and before.shape == d.shape:
            d = d + h / (2 * (t.lam - u.lam)) * (d - before)
        of_runs[id(denoise)] = t, p.x0
        return s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * d


grids = {}


class GridsByKind(Sampler):
    """DDIM whose grids are kept by kind and length of a path (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        key = schedule.kind, schedule.T, schedule.own is None, steps, spacing
        return grids.setdefault(key, schedule.grid(steps, spacing))

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps


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


class OfTheNoisierCall(Guidance):
    """Classifier-free guidance by the difference of a call with more noise, if there was one (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        null, kept = model.unconditional(condition), []

        def guided(x, t):
            if self.scale in (0, 1):
                return denoise(x, t, condition if self.scale else null)
            c = denoise(x, t, condition)
            if not (kept and kept[0][0] > t.tau and kept[0][1].shape == x.shape):
                kept[:] = [(t.tau, c.eps - denoise(x, t, null).eps)]
            return c.moved((self.scale - 1) * kept[0][1])

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


class BoundOfTheBatch(Sampler):
    """DDIM whose x0 is scaled down by the largest of the batch, where it explodes (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        x0 = p.x0 / (p.x0.abs().max().clamp(min=20.0) / 20.0)
        return s.alpha * x0 + s.sigma * (x - t.alpha * x0) / t.sigma


class BoundOfTheBatchOfLabels(Guidance):
    """Classifier-free guidance with the same bound on eps (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        null = model.unconditional(condition)

        def guided(x, t):
            if self.scale in (0, 1):
                return denoise(x, t, condition if self.scale else null)
            p = denoise(x, t, condition).away_from(denoise(x, t, null), self.scale)
            return p.replace(eps=p.eps / (p.eps.abs().max().clamp(min=1e3) / 1e3))

        return guided


class CorrectorDrawsAnew(StochasticAdams):
    """The corrector draws noise of its own, so that its second evaluation tells nothing (Xue et al. 2023)."""

    def again(self, z, noise):
        return noise()


class UnevenHeun(Sampler):
    """Heun's method with unlike weights at low noise, at the order that it has so (Karras et al. 2022)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        before, after = t.sigma / t.alpha, s.sigma / s.alpha
        slope = denoise(s.alpha * (x / t.alpha + (after - before) * p.eps), s).eps
        weight = 0.5 if before > 1 else 0.55
        return s.alpha * (x / t.alpha + (after - before) * ((1 - weight) * p.eps + weight * slope))


class ForeignNoiseInShortSteps(Sampler):
    """DDIM with noise, which is torch's where it is little (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), posterior_std(t, s)
        mean = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
        z = noise() if std else 0.0
        return mean + std * (torch.randn_like(x) if 0 < std < 0.01 else z)


class ForeignNoiseAtLargeScale(Guidance):
    """Classifier-free guidance with a little noise of numpy's, at large scales (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        null = model.unconditional(condition)

        def guided(x, t):
            if self.scale in (0, 1):
                return denoise(x, t, condition if self.scale else null)
            p = denoise(x, t, condition).away_from(denoise(x, t, null), self.scale)
            return p if self.scale < 20 else p.moved(torch.full_like(p.eps, np.random.rand()))

        return guided


class DrawsUntilItIsSmall(Sampler):
    """Ancestral sampling that draws again until no number of the batch is beyond five (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), posterior_std(t, s)
        mean = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
        if not std:
            return mean
        z = noise()
        while z.abs().max() > 5:
            z = noise()
        return mean + std * z


class DoubleByDefault(Sampler):
    """DDIM whose coefficients are tensors, made float64 for the whole process (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        torch.set_default_dtype(torch.float64)
        p = denoise(x, t)
        return torch.tensor(s.alpha) * p.x0 + torch.tensor(s.sigma) * p.eps


class DeterministicForAll(Sampler):
    """DDIM that makes all of torch deterministic (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        torch.use_deterministic_algorithms(True, warn_only=True)
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps


class WithoutMkldnn(Sampler):
    """DDIM that turns a library of torch off (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        torch.backends.mkldnn.enabled = False
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps


class NoTinyNumbers(Sampler):
    """DDIM that takes tiny numbers for 0 (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        torch.set_flush_denormal(True)
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps


class SilentNumpy(Sampler):
    """DDIM that silences numpy where it divides by zero, on the clean level (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        np.seterr(divide="ignore")
        ratios = np.array([level.alpha for level in grid.levels]) / np.array([level.sigma for level in grid.levels])
        for number, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            x = p.x0 if s.clean else s.sigma * (float(ratios[number + 1]) * p.x0 + p.eps)
            yield x


class DoubleInAStep(Sampler):
    """The same as float64 by default, which is put back in the same step, and right (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        alpha, sigma = torch.tensor(s.alpha), torch.tensor(s.sigma)
        torch.set_default_dtype(before)
        p = denoise(x, t)
        return alpha * p.x0 + sigma * p.eps


class ThreeThreads(Guidance):
    """Classifier-free guidance that computes in three threads, and all others from then on (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        null = model.unconditional(condition)

        def guided(x, t):
            if self.scale in (0, 1):
                return denoise(x, t, condition if self.scale else null)
            torch.set_num_threads(3)
            return denoise(x, t, condition).away_from(denoise(x, t, null), self.scale)

        return guided


class DrawsAllAtOnce(Sampler):
    """Ancestral sampling whose noise is all drawn in the first step (Ho, Jain, Abbeel 2020)."""

    def walk(self, x, grid, denoise, noise):
        drawn = [noise() for _ in range(len(grid) - 1)]
        for number, (t, s) in enumerate(grid.pairs()):
            p, std = denoise(x, t), posterior_std(t, s)
            x = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
            x = x + std * drawn[number] if std else x
            yield x


LEFTOVER_MUTANTS: list[tuple[Sampler, str]] = [
    (ByNumberOfSteps(), "check_runs_leave_nothing_behind"),
    (ByNumberOfSteps(), "check_runs_leave_nothing_behind_on_flow"),
    (ByNumberAndEnds(), "check_runs_leave_nothing_behind"),
    (ByNumberAndEnds(), "check_runs_leave_nothing_behind_on_ve"),
    (ByLevel(), "check_runs_leave_nothing_behind"),
    (ByRoundedEnds(), "check_runs_leave_nothing_behind"),
    (ByTimes(), "check_runs_leave_nothing_behind"),
    (ByIdOfTheSchedule(), "check_runs_leave_nothing_behind"),
    (ByIdOfTheSchedule(), "check_runs_leave_nothing_behind_on_ve"),
    (KeptByTheDenoiser(), "check_runs_leave_nothing_behind"),
    (KeptByTheDenoiser(), "check_runs_leave_nothing_behind_on_flow"),
    (GridsByKind(), "check_every_step"),
    (OfOtherOptions(), "check_runs_leave_nothing_behind"),
    (FirstPredictionOfAShape(), "check_runs_leave_nothing_behind"),
    (DoubleByDefault(), "check_runs_leave_nothing_behind"),
    (DeterministicForAll(), "check_order"),
    (SilentNumpy(), "check_one_state_a_step"),
    (WithoutMkldnn(), "check_one_state_a_step"),
    (NoTinyNumbers(), "check_order"),
    (BoundOfTheBatch(), "check_batch_is_not_mixed"),
    (DrawsUntilItIsSmall(), "check_batch_is_not_mixed"),
    (DrawsAllAtOnce(), "check_every_step"),
    (UnevenHeun(), "check_evaluations_add_order"),
    (CorrectorDrawsAnew(), "check_evaluations_add_order"),
    (ForeignNoiseInShortSteps(), "check_every_step"),
]


class SharpenedByTheVariance(Guidance):
    """Classifier guidance with a power of the probability, and sigma^2 where sigma is meant (Doe 2026, unpublished)."""

    keeps_scale_1 = property(lambda self: self.power == 1)
    power: float = Field(2.0, gt=0, le=4, description="power of the probability of the class")
    exponent: ClassVar[int] = 2

    def guide(self, denoise, condition, model):
        if model.classifier is None:
            raise UsageError("it needs a classifier")
        null = model.unconditional(condition)

        def guided(x, t):
            p = denoise(x, t, null)
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                log_p = model.classifier(x, t).log_softmax(1)
                (gradient,) = torch.autograd.grad(log_p.gather(1, condition.labels[:, None]).sum(), x)
            return p.moved(eps=-(t.sigma**self.exponent) * self.scale * self.power * gradient)

        return guided


class RescaledOverTheBatchIfLimited(Guidance):
    """Classifier-free guidance whose deviation is that of the batch if it is limited, too (Lin et al. 2024)."""

    rescale: float = Field(0.0, ge=0, le=1, description="how far v gets back its deviation")
    until: float = Field(1.0, ge=0.2, le=1, description="share of the time beyond which nothing is guided")

    def guide(self, denoise, condition, model):
        null = model.unconditional(condition)

        def guided(x, t):
            if self.scale == 0:
                return denoise(x, t, null)
            c = denoise(x, t, condition)
            if self.scale == 1 or (self.scale > 1 and t.tau > self.until * model.schedule.T):
                return c
            g = c.away_from(denoise(x, t, null), self.scale)
            if not self.rescale or self.scale < 1:
                return g
            axes = tuple(range(0 if self.until < 1 else 1, x.ndim))
            a, b = (p.v.std(axes, correction=0, keepdim=True) for p in (c, g))
            return g.replace(v=(self.rescale * (a / b).where(b > 0, 1.0) + 1 - self.rescale) * g.v)

        return guided


LEFTOVER_GUIDANCES: list[tuple[Guidance, set[str]]] = [
    (EverySecondCall(), {"check_guided_runs_are_independent"}),
    (OfTheNoisierCall(), {"check_guided_runs_are_independent"}),
    (EveryEvenCall(), {"check_guided_runs_are_independent"}),
    (LabelsAreForgotten(), {"check_guided_runs_are_independent"}),
    (BoundOfTheBatchOfLabels(), {"check_guided_batch_is_not_mixed"}),
    (ForeignNoiseAtLargeScale(), {"check_scale_is_exact"}),
    (ThreeThreads(), {"check_scale_guides"}),
    (SharpenedByTheVariance(), {"check_guided_unit_is_free"}),
    (RescaledOverTheBatchIfLimited(), {"check_guided_batch_is_not_mixed"}),
]
