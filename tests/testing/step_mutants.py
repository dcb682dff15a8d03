"""Samplers with typical bugs in a step or a level, whose images still look good, each with its check."""

from __future__ import annotations

import math

import torch
from samplerzoo_plugins import unipc
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM, posterior_mean
from samplerzoo_plugins.deis import DEIS
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.heun import Heun
from samplerzoo_plugins.predictor_corrector import PredictorCorrector
from samplerzoo_plugins.reverse_sde import ReverseSDE
from samplerzoo_plugins.unipc import UniPC

from samplerzoo import Field, Sampler, posterior_std


class LogSnrForLambda(DPMSolverPP):
    def _update(self, x, known, s, noise):
        (t, d0), *before = known
        h = s.log_snr - t.log_snr
        x = s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * d0
        if before:
            x = x - s.alpha * math.expm1(-h) / 2 * h / (t.log_snr - before[0][0].log_snr) * (d0 - before[0][1])
        return x


class LambdaForLogSnr(Sampler):
    order = property(lambda self: 2)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        m = denoise.schedule.at_log_snr((t.lam + s.lam) / 2 if (t.lam + s.lam) / 2 > t.log_snr else t.log_snr)
        q = denoise(m.alpha * p.x0 + m.sigma * p.eps, m)
        return s.alpha / t.alpha * x - s.sigma * math.expm1(s.lam - t.lam) * q.eps


class MidpointLambda(Sampler):
    order = property(lambda self: 2)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        m = denoise.schedule.at_log_snr((t.lam + s.lam) / 2)
        h = s.lam - t.lam
        u = denoise.schedule.at_log_snr(t.lam + s.lam)
        q = denoise(u.alpha / t.alpha * x - u.sigma * math.expm1(h / 2) * p.eps, m)
        return s.alpha / t.alpha * x - s.sigma * math.expm1(h) * q.eps


class HalfStepOff(Sampler):
    order = property(lambda self: 2)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        u = denoise.schedule.at_log_snr((t.log_snr + s.log_snr) / 2)
        q = denoise(u.alpha * p.x0 + u.sigma * p.eps, s)
        return s.alpha * q.x0 + s.sigma * q.eps


class HeunWrongWeight(Heun):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        e = s.alpha * p.x0 + s.sigma * p.eps
        q = denoise(e, s)
        h = s.sigma / s.alpha - t.sigma / t.alpha
        return e + s.alpha * h / 3 * (q.eps - p.eps)


class UniPCWrong(UniPC):
    def _update(self, x, known, s, at_s=None):
        (t, m0), *before = known
        h = s.lam - t.lam
        r = [(u.lam - t.lam) / h for u, _ in before]
        differences = [(m - m0) / r_i for r_i, (_, m) in zip(r, before, strict=True)]
        if at_s is not None:
            r, differences = [*r, 1.0], [*differences, at_s - m0]
        phi_1 = math.expm1(-h)
        b = -h if self.solver_type == "bh1" else phi_1
        x = s.sigma / t.sigma * x - s.alpha * phi_1 * m0
        for a, d in zip([0.45 * w / 0.5 for w in unipc._weights(r, h, b)], differences, strict=True):
            x = x - s.alpha * b * a * d
        return x


class DEISWrongNode(DEIS):
    def _integrals(self, known, s, schedule):
        w = super()._integrals(known, s, schedule)
        return [w[0], *[1.1 * v for v in w[1:]]]


class AlphaOfT(DDIM):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        a = t.alpha if not s.clean else 1.0
        return a * p.x0 + s.sigma * p.eps


class NoiseNotSubtracted(DDIM):
    eta: float = Field(1.0, ge=0, le=1, description="e")

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        std = self.eta * posterior_std(t, s)
        x = s.alpha * p.x0 + s.sigma * p.eps
        return x + std * noise() if std else x


class VarianceForStd(DDPM):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        v = self._variance(p, t, s)
        m = posterior_mean(p, t, s)
        if p.shift is not None:
            m = m + v * p.shift
        return m if s.clean else m + v * noise()


class ReusedNoise(DDPM):
    def walk(self, x, grid, denoise, noise):
        z = None
        for i, (t, s) in enumerate(grid.pairs()):
            if i % 2 == 0:
                z = noise() if not s.clean else z
            if i % 2 == 0 and z is None:
                z = noise()
            x = self.step(x, t, s, denoise, lambda z=z: z)
            yield x


class BatchFlipped(DDPM):
    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: noise().flip(0))


class PerImageNorm(DDPM):
    def step(self, x, t, s, denoise, noise):
        def n():
            z = noise()
            f = z.flatten(1)
            return z / f.std(1).reshape(-1, *[1] * (z.ndim - 1)) if f.shape[1] > 2 else z

        return super().step(x, t, s, denoise, n)


class WrongBeyond512(DDIM):
    def walk(self, x, grid, denoise, noise):
        for i, (t, s) in enumerate(grid.pairs()):
            x = self.step(x, t, s, denoise, noise)
            if i >= 512 and not s.clean:
                x = x * 0.99
            yield x


class RoundsTau(DDIM):
    def step(self, x, t, s, denoise, noise):
        u = denoise.schedule.at(max(1.0, round(t.tau))) if denoise.schedule.whole else t
        return super().step(x, u, s, denoise, noise)


class LinearOnly(DDIM):
    def step(self, x, t, s, denoise, noise):
        if denoise.schedule.kind != "VP" or s.clean:
            return super().step(x, t, s, denoise, noise)
        p = denoise(x, t)
        a = math.exp(-(0.1 * s.tau / 1000 + 9.95 * (s.tau / 1000) ** 2) / 2)
        return a * p.x0 + math.sqrt(1 - a * a) * p.eps


class WrongAtFortySteps(DDIM):
    """Shrinks every state of runs of forty steps (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            x = self.step(x, t, s, denoise, noise) * (0.99 if len(grid) == 40 else 1.0)
            yield x


class LessNoiseAtFortySteps(ReverseSDE):
    """Draws less noise in runs of forty steps, by less than the error of a step (Song et al. 2021)."""

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            x = self.step(x, t, s, denoise, lambda: noise() * (0.99 if len(grid) == 40 else 1.0))
            yield x


class AnswerIsNotUsed(DDIM):
    """Asks in the middle of a step, and steps with the answer at its beginning (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if not s.clean:
            middle = denoise.schedule.at_log_snr((t.log_snr + s.log_snr) / 2)
            denoise(middle.alpha * p.x0 + middle.sigma * p.eps, middle)
        return s.alpha * p.x0 + s.sigma * p.eps


class StaleX0AtEnd(DDIM):
    def walk(self, x, grid, denoise, noise):
        p = None
        for t, s in grid.pairs():
            if s.clean and p is not None:
                x = p.x0
            else:
                p = denoise(x, t)
                x = s.alpha * p.x0 + s.sigma * p.eps
            yield x


class YieldsX0(DDIM):
    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            p = denoise(x, t)
            x = s.alpha * p.x0 + s.sigma * p.eps
            yield p.x0


class LastStepSkipped(DPMSolverPP):
    def walk(self, x, grid, denoise, noise):
        *most, _ = super().walk(x, grid, denoise, noise)
        yield from most
        yield most[-1] if most else denoise(x, grid.levels[0]).x0


class LangevinHalfNoise(PredictorCorrector):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        x = self._predicted(p, s, noise)
        size = 2 * (self.snr * s.sigma) ** 2
        for _ in range(self.corrector_steps):
            x = x + size * denoise(x, s).score + math.sqrt(size) * noise()
        return x


class LangevinTwiceScore(PredictorCorrector):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        x = self._predicted(p, s, noise)
        size = 2 * (self.snr * s.sigma) ** 2
        for _ in range(self.corrector_steps):
            x = x + 2 * size * denoise(x, s).score + math.sqrt(2 * size) * noise()
        return x


class DriftHalved(ReverseSDE):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h = t.tau - s.tau
        beta = t.rate * h
        return x - t.drift * h * x / 2 + beta * p.score + math.sqrt(beta) * noise()


class VEwrong(DDIM):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return (
            s.alpha * p.x0
            + (math.sqrt(1 - s.alpha**2) if denoise.schedule.kind == "VP" else s.sigma * 0.999 if not s.clean else 0)
            * p.eps
        )


class ZeroSnrWrong(DDIM):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        k = 0.98 if t.alpha < 3e-4 and not s.clean else 1
        return s.alpha * p.x0 + k * s.sigma * p.eps


_coefficients = {}


class CacheForgetsTheSchedule(DPMSolverPP):
    """Coefficients are cached in the module by the two taus (Lu et al. 2022)."""

    def _update(self, x, known, s, noise):
        (t, d0), *before = known
        key = (t.tau, s.tau, len(before))
        if key not in _coefficients:
            h = s.lam - t.lam
            _coefficients[key] = (
                s.sigma / t.sigma,
                s.alpha * math.expm1(-h),
                h / (t.lam - before[0][0].lam) / 2 if before else 0.0,
            )
        a, b, c = _coefficients[key]
        d = d0 + c * (d0 - before[0][1]) if before else d0
        return a * x - b * d


class CorrectorAtTheLevelBefore(PredictorCorrector):
    """The Langevin step asks the network at t, where the state is at s (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        x = self._predicted(p, s, noise)
        size = 2 * (self.snr * s.sigma) ** 2
        for _ in range(self.corrector_steps):
            x = x + size * denoise(x, t).score + math.sqrt(2 * size) * noise()
        return x


class EpsAtTheNextLevel(DDIM):
    """The network's eps at the wrong time: index of the timesteps off by one (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        eps = denoise(x, t if s.clean else s).eps
        x0 = (x - t.sigma * eps) / t.alpha
        std = self.eta * posterior_std(t, s)
        x = s.alpha * x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * eps
        return x + std * noise() if std else x


class EvenStepsAssumed(DPMSolverPP):
    """2M with r = 1: the extrapolation of even steps, on any grid (Lu et al. 2022)."""

    def _update(self, x, known, s, noise):
        (t, d0), *before = known
        h = s.lam - t.lam
        phi = math.expm1(-h)
        d = d0 if not before else 1.5 * d0 - 0.5 * before[0][1]
        return s.sigma / t.sigma * x - s.alpha * phi * d


class FirstStepIsLost(DPMSolverPP):
    """The first step returns its input: warm-up of a multistep method, off by one (Lu et al. 2022)."""

    def walk(self, x, grid, denoise, noise):
        known = []
        for i, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            known = [(t, p.x0), *known][: min(self.solver_order, len(grid) - i)]
            if s.clean:
                x = p.x0
            elif i:
                x = self._update(x, known, s, noise)
            yield x


class HardCodedLinearBetas(ReverseSDE):
    """beta(t) = 0.1 + 19.9 t, whatever the model's schedule (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        T = denoise.schedule.T
        beta = (0.1 + 19.9 * t.tau / T) * (t.tau - s.tau) / T
        return x + (beta / 2) * x + beta * p.score + math.sqrt(beta) * noise()


class MutatesTheGrid(DDIM):
    """Puts its own rounding of the levels into the grid that it was handed (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        at = denoise.schedule.at
        levels = tuple(at(float(max(1, round(level.tau)))) if not level.clean else level for level in grid.levels)
        if len({level.tau for level in levels}) == len(levels):
            object.__setattr__(grid, "levels", levels)
        yield from super().walk(x, grid, denoise, noise)


class NetworkToldTheNextLevel(DDIM):
    """DDIM whose network is told the level it goes to, not the one x is at (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t if s.clean else s)
        x0 = p.x0
        eps = (x - t.alpha * x0) / t.sigma
        std = self.eta * posterior_std(t, s)
        x = s.alpha * x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * eps
        return x + std * noise() if std else x


class ThirdOrderCoefficient(DPMSolverPP):
    """3M whose parabola has a factor 2 too little: declares the order of its first step (Lu et al. 2022)."""

    solver_order: int = Field(3, ge=1, le=3, description="levels")

    def _update(self, x, known, s, noise):
        if len(known) < 3:
            return super()._update(x, known, s, noise)
        (t, d0), (u, m1), (v, m2) = known
        h = s.lam - t.lam
        phi_1 = math.expm1(-h)
        phi_2 = phi_1 / h + 1
        phi_3 = phi_2 / h - 0.5
        h0, h1 = t.lam - u.lam, u.lam - v.lam
        d10, d11 = (d0 - m1) / h0, (m1 - m2) / h1
        d2 = (d10 - d11) / (h0 + h1)
        d1 = d10 + h0 * d2
        return s.sigma / t.sigma * x - s.alpha * phi_1 * d0 + s.alpha * (h * phi_2 * d1 - h**2 * phi_3 * d2)


class WrongAtOneStepOnly(DDIM):
    """The step in the middle is done with the eps of zeros (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        n = len(grid)
        for i, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            if i == n // 2 and n > 2 and not s.clean:
                x = s.alpha / t.alpha * x
            else:
                x = s.alpha * p.x0 + s.sigma * p.eps
            yield x


class WrongBeyondThreeHundredSteps(DDPM):
    """An index of eight bits and a bit: beyond 300 steps the noise is halved (Ho, Jain, Abbeel 2020)."""

    def walk(self, x, grid, denoise, noise):
        for i, (t, s) in enumerate(grid.pairs()):
            x = self.step(x, t, s, denoise, (lambda: 0.5 * noise()) if i >= 300 else noise)
            yield x


class YieldsTheOldState(PredictorCorrector):
    """Yields the state before the step, and the image at the end: its trajectory is late by one (Song et al. 2021)."""

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            old, x = x, self.step(x, t, s, denoise, noise)
            yield x if s.clean else old


class RatioUpsideDown(DPMSolverPP):
    """Extrapolates by the step before over this one: errors of a run cancel, and those of its steps do not."""

    def _update(self, x, known, s, noise):
        if len(known) == 2:
            (t, m0), (u, m1) = known
            r = (t.lam - u.lam) / (s.lam - t.lam)
            known = [(t, m0), (u, m0 - r**2 * (m0 - m1))]
        return super()._update(x, known, s, noise)


class LongStepsAreCut(DPMSolverPP):
    """Takes no step in lambda longer than 1, for the sake of stability (Lu et al. 2022)."""

    def _update(self, x, known, s, noise):
        (t, d0), *before = known
        h = min(s.lam - t.lam, 1.0)
        x = s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * d0
        if before:
            x = x - s.alpha * math.expm1(-h) / 2 * h / (t.lam - before[0][0].lam) * (d0 - before[0][1])
        return x


class WrongAtLittleNoise(DDIM):
    """Leaves too much noise near the clean end (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x if s.clean or s.log_snr < 7 else x + 0.3 * s.sigma * denoise(x, s).eps


class LosesAStepOfManyOnVE(DDIM):
    """Does nothing in step 300, on one kind of path (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        for number, (t, s) in enumerate(grid.pairs(), 1):
            if number != 300 or denoise.schedule.kind != "VE":
                x = self.step(x, t, s, denoise, noise)
            yield x


class PowerOfSigma(PredictorCorrector):
    """Has Langevin steps of 2 snr^2 sigma, which is no variance (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        x, size = self._predicted(p, s, noise), 2 * self.snr**2 * s.sigma
        return x + size * denoise(x, s).score + math.sqrt(2 * size) * noise()


class GridIsKept(DDIM):
    """Keeps grids by their number of steps, and forgets the spacing (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        key = (id(schedule), steps)
        if key not in _grids:
            _grids[key] = schedule.grid(steps, spacing), schedule
        return _grids[key][0]


class OneStepTooFew(DDIM):
    """Counts levels where steps are asked for (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(max(1, steps - 1), spacing)


_grids = {}


class X0ClampedAtFour(DDIM):
    """Cuts x0 at four, beyond which pictures never are (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        p = p.replace(x0=p.x0.clamp(-4, 4))
        return s.alpha * p.x0 + s.sigma * p.eps


class EpsLeftAtTheEnd(DDIM):
    """Keeps a hundredth of eps in the image (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0 + (0.01 * t.sigma if s.clean else s.sigma) * p.eps


class ImagesAreBrighter(DDIM):
    """Adds a hundredth to the image (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x + 0.01 if s.clean else x


class OneImageForAll(DDIM):
    """Ends in the same grey whatever the data is (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x * 0 + 0.5 if s.clean else x


class OldAnswerInAPart(Sampler):
    """Heun's method, with a part of the answer before in the place of a new one at some levels (Karras et al. 2022)."""

    order = property(lambda self: 2)

    def stale(self, t):
        return False

    def walk(self, x, grid, denoise, noise):
        before = None
        for t, s in grid.pairs():
            p = denoise(x, t)
            if s.clean:
                yield p.x0
                return
            r, h = x / t.alpha, s.sigma / s.alpha - t.sigma / t.alpha
            new = denoise(s.alpha * (r + h * p.eps), s).eps
            if before is not None and self.stale(t):
                new = 0.7 * new + 0.3 * before
            before = p.eps
            x = s.alpha * (r + h / 2 * (p.eps + new))
            yield x


class OldAnswerAtLittleNoise(OldAnswerInAPart):
    """Heun's method (Karras et al. 2022)."""

    def stale(self, t):
        return t.log_snr > 3


class OldAnswerAtMuchNoise(OldAnswerInAPart):
    """Heun's method (Karras et al. 2022)."""

    def stale(self, t):
        return t.log_snr < -5


class OldAnswerOnce(OldAnswerInAPart):
    """Heun's method (Karras et al. 2022)."""

    def stale(self, t):
        return -4.4 < t.log_snr < -4.2


class RoundsTheLogSNR(DDIM):
    """Keeps four digits of the log-SNR (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        if s.clean or self.eta:
            return super().step(x, t, s, denoise, noise)
        p = denoise(x, t)
        return s.alpha * (p.x0 + math.exp(-round(s.log_snr, 4) / 2) * p.eps)


class GridIsShortAtTwenty(DDIM):
    """Lays a grid of 19 steps for 20 (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(19 if steps == 20 else steps, spacing)


class GridIgnoresTheSpacing(DDIM):
    """Lays the usual grid, whatever is asked for (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(steps, schedule.usual)


class WrongBeyondTwoThousandSteps(DDIM):
    """Moves the state off after two thousand steps (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        for number, state in enumerate(super().walk(x, grid, denoise, noise)):
            yield state * 1.05 if number == 2000 else state


class ForgetsTheNoiseOnce(DDPM):
    """Draws no noise in the last but one step (Ho, Jain, Abbeel 2020)."""

    def walk(self, x, grid, denoise, noise):
        for number, (t, s) in enumerate(grid.pairs()):
            x = self.step(x, t, s, denoise, noise if number != len(grid) - 2 else lambda: 0.0)
            yield x


class NoiseOfItsOwn(DDIM):
    """Draws by a generator of its own (Song, Meng, Ermon 2021)."""

    eta: float = Field(1.0, ge=0.0, le=1.0, description="noise")

    def step(self, x, t, s, denoise, noise):
        generator = torch.Generator().manual_seed(int(t.tau))
        return super().step(x, t, s, denoise, lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype))


STEP_MUTANTS: list[tuple[Sampler, str]] = [
    (ForgetsTheNoiseOnce(), "check_every_step"),
    (NoiseOfItsOwn(), "check_every_step"),
    (LogSnrForLambda(), "check_every_step"),
    (LambdaForLogSnr(), "check_irregular_grids"),
    (MidpointLambda(), "check_every_step"),
    (HalfStepOff(), "check_every_step"),
    (HeunWrongWeight(), "check_order"),
    (UniPCWrong(), "check_order"),
    (DEISWrongNode(), "check_order"),
    (AlphaOfT(), "check_every_step"),
    (NoiseNotSubtracted(), "check_every_step"),
    (VarianceForStd(), "check_every_step"),
    (ReusedNoise(), "check_every_step"),
    (BatchFlipped(), "check_every_step"),
    (PerImageNorm(), "check_every_step"),
    (WrongBeyond512(), "check_long_runs"),
    (WrongAtFortySteps(), "check_any_number_of_steps"),
    (LessNoiseAtFortySteps(), "check_any_number_of_steps"),
    (AnswerIsNotUsed(), "check_answers_are_used"),
    (RoundsTau(), "check_every_step"),
    (LinearOnly(), "check_every_step"),
    (StaleX0AtEnd(), "check_every_step"),
    (YieldsX0(), "check_every_step"),
    (LastStepSkipped(), "check_lands_on_the_point"),
    (LangevinHalfNoise(), "check_every_step"),
    (LangevinTwiceScore(), "check_every_step"),
    (DriftHalved(), "check_every_step"),
    (VEwrong(), "check_every_step_on_ve"),
    (ZeroSnrWrong(), "check_every_step"),
    (CacheForgetsTheSchedule(), "check_every_step"),
    (CorrectorAtTheLevelBefore(), "check_every_step"),
    (EpsAtTheNextLevel(), "check_every_step"),
    (EvenStepsAssumed(), "check_order"),
    (FirstStepIsLost(), "check_every_step"),
    (HardCodedLinearBetas(), "check_every_step_on_ve"),
    (MutatesTheGrid(), "check_every_step"),
    (NetworkToldTheNextLevel(), "check_every_step"),
    (ThirdOrderCoefficient(), "check_order"),
    (WrongAtOneStepOnly(), "check_every_step"),
    (WrongBeyondThreeHundredSteps(), "check_long_runs"),
    (YieldsTheOldState(), "check_every_step"),
    (RatioUpsideDown(), "check_order"),
    (LongStepsAreCut(), "check_every_step"),
    (WrongAtLittleNoise(), "check_every_step"),
    (LosesAStepOfManyOnVE(), "check_long_runs_on_ve"),
    (PowerOfSigma(), "check_unit_is_free"),
    (GridIsKept(), "check_grids_are_as_asked"),
    (OneStepTooFew(), "check_grids_are_as_asked"),
    (X0ClampedAtFour(), "check_lands_on_the_point"),
    (EpsLeftAtTheEnd(), "check_lands_on_the_point"),
    (ImagesAreBrighter(), "check_lands_on_the_point"),
    (OneImageForAll(), "check_lands_on_the_point"),
    (OldAnswerAtLittleNoise(), "check_order_on_flow"),
    (OldAnswerAtMuchNoise(), "check_order"),
    (OldAnswerOnce(), "check_order_on_ve"),
    (RoundsTheLogSNR(), "check_coefficients_have_all_digits_on_ve"),
    (GridIsShortAtTwenty(), "check_any_number_of_steps"),
    (GridIgnoresTheSpacing(), "check_spacing_is_heeded"),
    (WrongBeyondTwoThousandSteps(), "check_longest_runs"),
]
