"""Unusual but correct samplers, all of which the kit has to pass."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import ClassVar

from samplerzoo_plugins.ddpm import posterior_mean

from samplerzoo import Field, Sampler, posterior_std, transition_variance


def ratio(level):
    return level.sigma / level.alpha


class RungeKutta(Sampler):
    """Explicit method for dy/dr = eps, y = x / alpha, r = sigma / alpha, of any tableau (Butcher 1964)."""

    degree: ClassVar[int]
    nodes: ClassVar[tuple[float, ...]]
    rows: ClassVar[tuple[tuple[float, ...], ...]]
    weights: ClassVar[tuple[float, ...]]

    order = property(lambda self: self.degree)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h, base, slopes = ratio(s) - ratio(t), x / t.alpha, [p.eps]
        for node, row in zip(self.nodes[1:], self.rows, strict=True):
            u = s if node == 1 else denoise.schedule.at_log_snr(-2 * math.log(ratio(t) + node * h))
            y = base + h * sum(a * k for a, k in zip(row, slopes, strict=True))
            slopes.append(denoise(u.alpha * y, u).eps)
        return s.alpha * (base + h * sum(b * k for b, k in zip(self.weights, slopes, strict=True)))


class Ralston(RungeKutta):
    """Method with the least error bound of second order (Ralston 1962)."""

    degree = 2
    nodes, rows, weights = (0, 2 / 3), ((2 / 3,),), (1 / 4, 3 / 4)


class Kutta(RungeKutta):
    """Classical method of fourth order (Kutta 1901)."""

    degree = 4
    nodes = (0, 1 / 2, 1 / 2, 1)
    rows = ((1 / 2,), (0, 1 / 2), (0, 0, 1))
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


class DormandPrince(RungeKutta):
    """Method of fifth order, with the steps of the grid (Dormand and Prince 1980)."""

    degree = 5
    nodes = (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1)
    rows = (
        (1 / 5,), (3 / 40, 9 / 40), (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    )  # fmt: skip
    weights = (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)


class Picard(Sampler):
    """Trapezoidal rule, solved by iteration from Euler's guess (Shih et al. 2023, in one step)."""

    order = property(lambda self: 2)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h, found = ratio(s) - ratio(t), s.alpha * p.x0 + s.sigma * p.eps
        for _ in range(3):
            found = s.alpha * (x / t.alpha + h / 2 * (p.eps + denoise(found, s).eps))
        return found


class SingleStep(Sampler):
    """DPM-Solver-2 and -3, singlestep (Lu et al. 2022, algorithms 1 and 2)."""

    degree: ClassVar[int] = 2
    order = property(lambda self: self.degree)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h = s.lam - t.lam

        def to(u, share, *more):
            part = u.alpha / t.alpha * x - u.sigma * math.expm1(share * h) * p.eps
            return part + sum(u.sigma * c * d for c, d in more)

        def at(share):
            return denoise.schedule.at_log_snr(2 * (t.lam + share * h))

        if self.degree == 2:
            u = at(0.5)
            return s.alpha / t.alpha * x - s.sigma * math.expm1(h) * denoise(to(u, 0.5), u).eps
        u, v = at(1 / 3), at(2 / 3)
        d1 = denoise(to(u, 1 / 3), u).eps - p.eps
        phi = math.expm1(2 / 3 * h) / (2 / 3 * h) - 1
        d2 = denoise(to(v, 2 / 3, (-2 * phi, d1)), v).eps - p.eps
        return to(s, 1.0, (-3 / 2 * (math.expm1(h) / h - 1), d2))


class SingleStep3(SingleStep):
    """DPM-Solver-3 (Lu et al. 2022, algorithm 2)."""

    degree = 3


class Restart(Sampler):
    """Euler's steps, and from some levels noise back up and down again (Xu et al. 2023, algorithm 1)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        x = s.alpha * p.x0 + s.sigma * p.eps
        if not s.clean and -1 < s.lam < 0:
            u = denoise.schedule.at_log_snr(2 * (s.lam - (s.lam - t.lam) / 2))
            x = u.alpha / s.alpha * x + math.sqrt(transition_variance(u, s)) * noise()
            p = denoise(x, u)
            x = s.alpha * p.x0 + s.sigma * p.eps
        return x


class StochasticAdams(Sampler):
    """Predictor of two steps and corrector in x0, with the noise of the SDE (after Xue et al. 2023, SA-Solver)."""

    def walk(self, x, grid, denoise, noise):
        before = None
        for t, s in grid.pairs():
            d = denoise(x, t).x0
            if s.clean:
                yield d
                return
            h = s.lam - t.lam
            ahead = d if before is None else d + h / (t.lam - before[0].lam) / 2 * (d - before[1])
            std, z = s.sigma * math.sqrt(-math.expm1(-2 * h)), noise()
            kept, weight = s.sigma / t.sigma * math.exp(-h) * x, -s.alpha * math.expm1(-2 * h)
            corrected = kept + weight * (d + denoise(kept + weight * ahead + std * z, s).x0) / 2
            x, before = corrected + std * self.again(z, noise), (t, d)
            yield x

    def again(self, z, noise):
        return z


class PseudoNumerical(Sampler):
    """Four steps of Runge and Kutta, and then those of Adams and Bashforth (Liu et al. 2022, PNDM), in r."""

    order = property(lambda self: 2)

    def walk(self, x, grid, denoise, noise):
        known = []
        for number, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            known = [(ratio(t), p.eps), *known][:2]
            if s.clean:
                x = p.x0
            elif number < 4:
                x = Kutta().step(x, t, s, denoise, noise)
            else:
                (r, e), (q, before) = known
                h = ratio(s) - r
                x = s.alpha * p.x0 + s.sigma * p.eps + s.alpha * h**2 / (2 * (r - q)) * (e - before)
            yield x


class Between(Sampler):
    """Ancestral sampling with a variance between small and large (Nichol and Dhariwal 2021, eq. 15)."""

    takes_shift: ClassVar[bool] = True

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        variance = posterior_std(t, s) * math.sqrt(transition_variance(t, s))
        mean = posterior_mean(p, t, s)
        if p.shift is not None:
            mean = mean + variance * p.shift
        return mean if s.clean else mean + math.sqrt(variance) * noise()


class BlurredDDIM(Sampler):
    """DDIM whose noise is one half of the ancestral one, drawn in two parts (Zhang et al. 2023, gDDIM)."""

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), 0.5 * posterior_std(t, s)
        mean = s.alpha * p.x0 + math.sqrt(s.sigma**2 - std**2) * p.eps
        return mean + std * (0.6 * noise() + 0.8 * noise()) if std else mean


class GradientEstimation(Sampler):
    """DDIM along twice the newest eps less the one before (Permenter and Yuan 2024, algorithm 2)."""

    def walk(self, x, grid, denoise, noise):
        before = None
        for t, s in grid.pairs():
            p = denoise(x, t)
            eps = p.eps if before is None else 2 * p.eps - before
            before = p.eps
            x = p.x0 if s.clean else s.alpha * p.x0 + s.sigma * p.eps + s.alpha * (ratio(s) - ratio(t)) * (eps - p.eps)
            yield x


class ForwardAndBack(Sampler):
    """Ancestral step with the posterior drawn from x0, in float64 inside (Song, Meng, Ermon 2021, eq. 7)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        wide = x.double()
        eps = (wide - t.alpha * p.x0.double()) / t.sigma
        std = posterior_std(t, s)
        found = s.alpha * p.x0.double() + math.sqrt(s.sigma**2 - std**2) * eps + std * noise().double()
        return found.to(x.dtype)


class MidpointInTime(Sampler):
    """The midpoint method in time, as flow matching runs it (Lipman et al. 2023)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h, middle = s.tau - t.tau, denoise.schedule.at((t.tau + s.tau) / 2)
        q = denoise(x + h / 2 * (t.dalpha * p.x0 + t.dsigma * p.eps), middle)
        return x + h * (middle.dalpha * q.x0 + middle.dsigma * q.eps)


class RalstonInTime(RungeKutta):
    """Ralston's method in time, which asks between the whole timesteps of VP (Ralston 1962)."""

    degree = 2
    nodes, rows, weights = (0, 2 / 3), ((2 / 3,),), (1 / 4, 3 / 4)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h, slopes = s.tau - t.tau, [t.dalpha * p.x0 + t.dsigma * p.eps]
        for node, row in zip(self.nodes[1:], self.rows, strict=True):
            u = s if node == 1 else denoise.schedule.at(t.tau + node * h)
            p = denoise(x + h * sum(a * k for a, k in zip(row, slopes, strict=True)), u)
            slopes.append(u.dalpha * p.x0 + u.dsigma * p.eps)
        return x + h * sum(b * k for b, k in zip(self.weights, slopes, strict=True))


class Kutta3InTime(RalstonInTime):
    """Method of third order in time (Kutta 1901)."""

    degree = 3
    nodes, rows, weights = (0, 1 / 2, 1), ((1 / 2,), (-1, 2)), (1 / 6, 2 / 3, 1 / 6)


class KuttaInTime(RalstonInTime):
    """Classical method of fourth order in time (Kutta 1901)."""

    degree = 4
    nodes, rows, weights = Kutta.nodes, Kutta.rows, Kutta.weights


def of_lambda(x, t, denoise):
    """Return the slope of z = x / sigma over lambda, which is e^lambda x0, at the state z sigma."""
    return t.alpha / t.sigma * denoise(x * t.sigma, t).x0


class KuttaInLambda(Sampler):
    """Classical method of fourth order for x / sigma over lambda, without exponentials (Kutta 1901)."""

    order = property(lambda self: 4)

    def step(self, x, t, s, denoise, noise):
        if s.clean:
            return denoise(x, t).x0
        h, middle, z = s.lam - t.lam, denoise.schedule.at_log_snr(t.lam + s.lam), x / t.sigma
        a = of_lambda(z, t, denoise)
        b = of_lambda(z + h / 2 * a, middle, denoise)
        c = of_lambda(z + h / 2 * b, middle, denoise)
        d = of_lambda(z + h * c, s, denoise)
        return s.sigma * (z + h / 6 * (a + 2 * b + 2 * c + d))


class AdamsInLambda(Sampler):
    """Two steps of Adams and Bashforth for x / sigma over lambda, without exponentials (Bashforth 1883)."""

    order = property(lambda self: 2)

    def walk(self, x, grid, denoise, noise):
        before = None
        for t, s in grid.pairs():
            if s.clean:
                x = denoise(x, t).x0
            else:
                h, slope = s.lam - t.lam, of_lambda(x / t.sigma, t, denoise)
                ahead = 0.0 if before is None else h / (2 * (t.lam - before[0].lam)) * (slope - before[1])
                before = t, slope
                x = s.sigma * (x / t.sigma + h * (slope + ahead))
            yield x


class MoreNoise(Sampler):
    """Exponential step of an SDE with more noise than the reverse one has (Zhang et al. 2023, lambda = 1.5)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        kept = math.exp(-(1.5**2) * (s.lam - t.lam))
        return s.alpha * p.x0 + s.sigma * kept * p.eps + s.sigma * math.sqrt(1 - kept**2) * noise()


class Kind(StrEnum):
    ODE = "ode"
    SDE = "sde"


class OfAnEnum(Sampler):
    """DDIM or ancestral sampling, by an option that is an enumeration (Song, Meng, Ermon 2021)."""

    kind: Kind = Field(Kind.ODE, description="with noise, or without")

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), posterior_std(t, s) if self.kind == Kind.SDE else 0.0
        x = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0)) * p.eps
        return x + std * noise() if std else x


class Churned(Sampler):
    """Stochastic sampler whose noise is bounded, in few steps at a part of its option (Karras et al. 2022)."""

    order = property(lambda self: 0 if self.s_churn else 2)
    s_churn: float = Field(0.0, ge=0, le=80, description="noise of all steps together")

    def walk(self, x, grid, denoise, noise):
        schedule, gamma = denoise.schedule, min(self.s_churn / len(grid), math.sqrt(2) - 1)
        top = schedule.at(schedule.T)
        for t, s in grid.pairs():
            y, u = x / t.alpha, t
            if gamma and ratio(t) * (1 + gamma) <= ratio(top):
                u = schedule.at_log_snr(-2 * math.log(ratio(t) * (1 + gamma)))
                y = y + math.sqrt(ratio(u) ** 2 - ratio(t) ** 2) * noise()
            p = denoise(u.alpha * y, u)
            if s.clean:
                x = p.x0
            else:
                h = ratio(s) - ratio(u)
                x = s.alpha * (y + h / 2 * (p.eps + denoise(s.alpha * (y + h * p.eps), s).eps))
            yield x


class NoisyBetween(Sampler):
    """Ancestral sampling between two levels of noise, and DDIM outside of them (Karras et al. 2022, algorithm 2)."""

    takes_shift: ClassVar[bool] = True
    low: float = Field(0.05, ge=0.01, le=0.3, description="least noise to signal at which noise is drawn")
    high: float = Field(5.0, ge=2, le=1000, description="most noise to signal at which noise is drawn")

    def step(self, x, t, s, denoise, noise):
        p, small, large = denoise(x, t), posterior_std(t, s) ** 2, transition_variance(t, s)
        if s.clean or not self.low < ratio(t) < self.high:
            return s.alpha * p.x0 + s.sigma * p.eps
        variance = small if p.variance is None else small ** (1 - p.variance) * large**p.variance
        mean = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - small, 0)) * p.eps
        if p.shift is not None:
            mean = mean + variance * p.shift
        return mean + variance**0.5 * noise()


class RateAtTheEnd(Sampler):
    """Euler and Maruyama's method with the noise of the level that a step leads to (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        p, h = denoise(x, t), t.tau - s.tau
        if s.clean:
            return p.x0
        return x - t.drift * h * x + t.rate * h * p.score + math.sqrt(s.rate * h) * noise()


class ManyDraws(Sampler):
    """Ancestral sampling in several parts of a step, each with a draw (Ho, Jain, Abbeel 2020)."""

    parts: int = Field(7, ge=1, le=12, description="parts of a step, even in log-SNR")

    def step(self, x, t, s, denoise, noise):
        if s.clean:
            return denoise(x, t).x0
        between = [t.log_snr + (s.log_snr - t.log_snr) * n / self.parts for n in range(1, self.parts)]
        for u in (*map(denoise.schedule.at_log_snr, between), s):
            p, std = denoise(x, t), posterior_std(t, u)
            x = u.alpha * p.x0 + math.sqrt(max(u.sigma**2 - std**2, 0.0)) * p.eps + std * noise()
            t = u
        return x


CORRECT: list[Sampler] = [
    OfAnEnum(), NoisyBetween(), Churned(), RateAtTheEnd(),
    MidpointInTime(), RalstonInTime(), Kutta3InTime(), KuttaInTime(), KuttaInLambda(), AdamsInLambda(), MoreNoise(),
    Ralston(), Kutta(), DormandPrince(), Picard(), SingleStep(), SingleStep3(), Restart(), StochasticAdams(),
    PseudoNumerical(), Between(), BlurredDDIM(), GradientEstimation(), ForwardAndBack(),
    ManyDraws(),
]  # fmt: skip
