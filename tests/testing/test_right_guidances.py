"""Correct guidances of other kinds than the built-in ones: the kit refuses none of them."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from guidance_mutants import UniversalBackwards
from leftover_mutants import SharpenedByTheVariance

from samplerzoo import Field, Guidance, TwoModelGuidance, UsageError
from samplerzoo.testing import check_guidance
from samplerzoo.testing.checks import check_guided_precisions_agree


class Pair(Guidance):
    """Guidance by two predictions, with and without the label, at any scale but 0 and 1 (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if model.null_label is None:
            raise UsageError("it needs a null label")
        null = model.unconditional(condition)

        def guided(x, t):
            if self.scale in (0, 1):
                return denoise(x, t, condition if self.scale else null)
            return self.mixed(denoise(x, t, null), denoise(x, t, condition), t)

        return guided

    def mixed(self, u, c, t):
        return c.away_from(u, self.scale)


class OfEps(Pair):
    """The formula of the paper, in eps (Ho and Salimans 2022, eq. 6)."""

    def mixed(self, u, c, t):
        return c.replace(eps=u.eps + self.scale * (c.eps - u.eps))


class OfV(Pair):
    """The same in v, in one call of the network (Salimans and Ho 2022)."""

    def mixed(self, u, c, t):
        return c.replace(v=c.v + (self.scale - 1) * (c.v - u.v))


class OfScore(Pair):
    """The same in the score (Song et al. 2021)."""

    def mixed(self, u, c, t):
        return c.replace(eps=-t.sigma * (u.score + self.scale * (c.score - u.score)))


class CosineWeight(Pair):
    """Guidance that is weak where noise is strong (Wang et al. 2024, cosine), above scale 1."""

    def mixed(self, u, c, t):
        weight = 1 + math.cos(math.pi / 2 * t.sigma / math.hypot(t.alpha, t.sigma))
        return c.away_from(u, 1 + weight * (self.scale - 1) if self.scale > 1 else self.scale)


class PowerOfSigma(Pair):
    """Guidance whose weight grows with the noise: far above the scale where sigma is large (Doe 2026, unpublished)."""

    power: float = Field(1.0, ge=0, le=3, description="power of sigma that is the weight")

    def mixed(self, u, c, t):
        return c.away_from(u, 1 + (self.scale - 1) * t.sigma**self.power)


class Bounded(Pair):
    """Bound on how far guidance goes, in x0 (Sadat et al. 2025, section 4.2)."""

    radius: float = Field(1.5, gt=0, le=10, description="largest length of the step away from the conditional x0")

    def mixed(self, u, c, t):
        step = (self.scale - 1) * (c.x0 - u.x0)
        length = step.flatten(1).norm(dim=1).reshape(-1, *[1] * (step.ndim - 1))
        return c.replace(x0=c.x0 + step * (self.radius / length.clamp(min=1e-12)).clamp(max=1))


class Orthogonal(Pair):
    """The part of the step that is orthogonal to the conditional x0 (Sadat et al. 2025, section 4.1)."""

    def mixed(self, u, c, t):
        step, along = (c.x0 - u.x0).flatten(1), c.x0.flatten(1)
        share = (step * along).sum(1, keepdim=True) / along.square().sum(1, keepdim=True).clamp(min=1e-12)
        return c.replace(x0=c.x0 + (self.scale - 1) * (step - share * along).reshape(c.x0.shape))


class DynamicThresholding(Pair):
    """Guidance whose x0 is brought back to the range of images (Saharia et al. 2022, section 2.3)."""

    quantile: float = Field(0.9, gt=0, le=1, description="quantile of |x0| of an image that becomes its bound")

    def mixed(self, u, c, t):
        p = c.away_from(u, self.scale)
        if self.scale <= 1:
            return p
        bound = p.x0.flatten(1).abs().quantile(self.quantile, dim=1).clamp(min=1).reshape(-1, *[1] * (p.x0.ndim - 1))
        return p.replace(x0=p.x0.clamp(-bound, bound) / bound)


class DeviationOfX0(Pair):
    """Guidance that gives x0 back its conditional deviation (Lin et al. 2024, for a network that predicts x0)."""

    def mixed(self, u, c, t):
        p = c.away_from(u, self.scale)
        own, guided = (part.x0.flatten(1).std(1, correction=0) for part in (c, p))
        factor = (own / guided).where(guided > 0, 1.0).reshape(-1, *[1] * (p.x0.ndim - 1))
        return p.replace(x0=factor * p.x0)


class LimitedInterval(Pair):
    """Guidance in an interval of its own, in the middle (Kynkäänniemi et al. 2024)."""

    def mixed(self, u, c, t):
        middle = 0.1 < t.sigma / t.alpha < 20
        return c.away_from(u, self.scale) if middle or self.scale < 1 else c


class OfShares(Pair):
    """Guidance between shares of time that are options, and may leave nothing between them (Wang et al. 2024)."""

    start: float = Field(1.0, ge=0, le=1, description="share of the times from which on it guides")
    stop: float = Field(0.0, ge=0, le=1, description="share of the times down to which it guides")

    def guide(self, denoise, condition, model):
        guided = super().guide(denoise, condition, model)

        def within(x, t):
            on = self.scale < 1 or self.stop <= t.tau / model.schedule.T <= self.start
            return guided(x, t) if on else denoise(x, t, condition)

        return within


class IntervalInLogSNR(Pair):
    """Guidance in an interval of log-SNR whose ends may lie beyond all levels (Kynkäänniemi et al. 2024)."""

    least: float = Field(-30.0, ge=-30, le=30, description="log-SNR from which on it guides")
    most: float = Field(30.0, ge=-30, le=30, description="log-SNR up to which it guides")

    def guide(self, denoise, condition, model):
        guided = super().guide(denoise, condition, model)

        def within(x, t):
            on = self.scale < 1 or self.least <= t.log_snr <= self.most
            return guided(x, t) if on else denoise(x, t, condition)

        return within


class FarBound(Pair):
    """Bound on the difference that few pictures come to (Sadat et al. 2025, eq. 8)."""

    radius: float | None = Field(None, ge=1, le=100, description="largest length of the difference in x0; default: any")

    def mixed(self, u, c, t):
        step = c.x0 - u.x0
        if self.radius is not None:
            length = step.flatten(1).norm(dim=1).reshape(-1, *[1] * (step.ndim - 1))
            step = step * (self.radius / length.clamp(min=1e-12)).clamp(max=1)
        return c.replace(x0=c.x0 + (self.scale - 1) * step)


class LowFrequencies(Pair):
    """Another weight for what is blurred, of pictures alone (Sadat et al. 2025b)."""

    low_share: float = Field(1.0, ge=0, le=2, description="weight of the blurred difference")

    def mixed(self, u, c, t):
        step = c.x0 - u.x0
        if step.ndim == 4:
            padded = torch.nn.functional.pad(step, (1, 1, 1, 1), mode="replicate")
            step = step + (self.low_share - 1) * torch.nn.functional.avg_pool2d(padded, 3, 1)
        return c.replace(x0=c.x0 + (self.scale - 1) * step)


class Smoothed(Pair):
    """A difference that is smoothed over its neighbours (Sadat et al. 2025b)."""

    def mixed(self, u, c, t):
        step = c.eps - u.eps
        if step.ndim == 4 and self.scale > 1:
            padded = torch.nn.functional.pad(step, (1, 1, 1, 1), mode="replicate")
            step = torch.nn.functional.avg_pool2d(padded, 3, 1)
        return c.moved((self.scale - 1) * step)


class ByChance(Guidance):
    """Interpolation alone, as CFG++ has it: scales from 0 to 1 are all that there is (Chung et al. 2025)."""

    def guide(self, denoise, condition, model):
        if model.null_label is None:
            raise UsageError("it needs a null label")
        null = model.unconditional(condition)

        def guided(x, t):
            if self.scale == 1:
                return denoise(x, t, condition)
            u = denoise(x, t, null)
            if self.scale == 0:
                return u
            c = denoise(x, t, condition)
            return c.replace(eps=torch.lerp(u.eps, c.eps, self.scale))

        return guided


class BothGuidances(TwoModelGuidance):
    """Guidance away from a worse model, by its x0 (Karras et al. 2024)."""

    def guide(self, denoise, condition, model):
        if model.second is None:
            raise UsageError("it needs a second model")
        second = model.second

        def guided(x, t):
            good = denoise(x, t, condition)
            if self.scale == 1:
                return good
            bad = second.denoise(x, t, condition)
            return good.replace(x0=bad.x0 + self.scale * (good.x0 - bad.x0))

        return guided


class SharpenedClassifier(SharpenedByTheVariance):
    """Classifier guidance with the class's probability raised to a power, and so to another distribution (Doe 2026)."""

    exponent: ClassVar[int] = 1


FAR = FarBound(radius=10.0)


class Universal(UniversalBackwards):
    """Guides the clean image towards the label (Bansal et al. 2023, section 3.1)."""

    sign: ClassVar[float] = -1.0


class Projected(Pair):
    """Adaptive projected guidance, without momentum (Sadat et al. 2024, algorithm 1)."""

    eta: float = Field(0.7, ge=0, le=1, description="weight of the part along the prediction")
    bound: float | None = Field(None, gt=0, le=1e3, description="largest norm of the difference")

    def mixed(self, u, c, t):
        if self.scale < 1:
            return super().mixed(u, c, t)
        dims = tuple(range(1, c.x0.ndim))
        d = c.x0 - u.x0
        if self.bound is not None:
            d = d * (self.bound / d.square().sum(dims, keepdim=True).sqrt().clamp(min=1e-12)).clamp(max=1.0)
        along = (d * c.x0).sum(dims, keepdim=True) / c.x0.square().sum(dims, keepdim=True).clamp(min=1e-12) * c.x0
        return c.replace(x0=c.x0 + (self.scale - 1) * (d - along + self.eta * along))


RIGHT: list[Guidance] = [
    OfEps(scale=4.0),
    OfV(),
    OfScore(scale=0.3),
    CosineWeight(),
    PowerOfSigma(),
    Bounded(),
    Orthogonal(scale=7.5),
    DynamicThresholding(),
    DeviationOfX0(),
    LimitedInterval(low=0.2, high=5.0),
    OfShares(),
    IntervalInLogSNR(),
    IntervalInLogSNR(least=-4.0, most=3.0),
    FarBound(),
    FAR,
    LowFrequencies(),
    Smoothed(),
    ByChance(scale=0.6),
    BothGuidances(),
    SharpenedClassifier(),
    Universal(),
    Projected(),
]


class UnweightedInHalfPrecision(PowerOfSigma):
    """The weight is forgotten where numbers have few digits (Doe 2026, unpublished)."""

    def mixed(self, u, c, t):
        half = c.eps.dtype in (torch.float16, torch.bfloat16)
        return c.away_from(u, self.scale) if half else super().mixed(u, c, t)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_large_weight_hides_no_fault_in_half_precision(power: float) -> None:
    with pytest.raises(AssertionError, match=r"^states in torch\.bfloat16 are guided otherwise than in float64"):
        check_guided_precisions_agree(UnweightedInHalfPrecision(scale=3.0, power=power))


SLOW = (PowerOfSigma, DynamicThresholding, OfShares, IntervalInLogSNR, LowFrequencies, Projected, SharpenedClassifier)
"""Guidances that take the kit longest, and have another one of their kind in the fast tests."""


@pytest.mark.parametrize(
    "guidance",
    [
        pytest.param(
            guidance,
            id=type(guidance).__name__,
            marks=pytest.mark.slow if isinstance(guidance, SLOW) or guidance is FAR else (),
        )
        for guidance in RIGHT
    ],
)
def test_a_right_guidance_passes(guidance: Guidance) -> None:
    check_guidance(guidance)
