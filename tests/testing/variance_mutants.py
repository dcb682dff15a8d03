"""Samplers that make something wrong of a learned variance, or of a mean shift, that differs from pixel to pixel."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from samplerzoo import Sampler, posterior_std, transition_variance


class OfTheVariance(Sampler):
    """Ancestral sampling with a learned variance (Nichol and Dhariwal 2021, eq. 15)."""

    takes_shift: ClassVar[bool] = True

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        small, large = posterior_std(t, s) ** 2, transition_variance(t, s)
        mean = s.alpha * p.x0 + math.sqrt(s.sigma**2 - small) * p.eps
        variance = torch.full_like(x, small)
        if p.variance is not None:
            v = self.weight(p.variance)
            variance = small ** (1 - v) * large**v
        if p.shift is not None:
            mean = mean + variance * self.shift(p.shift)
        return mean + variance**0.5 * noise()

    def weight(self, v):
        return v

    def shift(self, shift):
        return shift


class MeanOfTheBatch(OfTheVariance):
    """The weight is that of the batch (Doe 2026)."""

    def weight(self, v):
        return v.mean()


class FirstOfTheBatch(OfTheVariance):
    """The weight is that of the first image (Doe 2026)."""

    def weight(self, v):
        return v[:1]


class MeanOfTheImage(OfTheVariance):
    """The weight is that of the image (Doe 2026)."""

    def weight(self, v):
        return v.flatten(1).mean(1).reshape(-1, *[1] * (v.ndim - 1))


class MeanOfChannels(OfTheVariance):
    """The weight is that of the pixel in all channels (Doe 2026)."""

    def weight(self, v):
        return v.mean(1, keepdim=True)


class Mirrored(OfTheVariance):
    """The weights are those of the mirrored image (Doe 2026)."""

    def weight(self, v):
        return v.flip(-1)


class KeptByShape(OfTheVariance):
    """The weights are those of the first step of the process (Doe 2026)."""

    kept: ClassVar[dict[tuple[object, ...], torch.Tensor]] = {}

    def weight(self, v):
        return self.kept.setdefault((*v.shape, v.dtype), v)


class ShiftOfTheBatch(OfTheVariance):
    """The shift is that of the batch (Doe 2026)."""

    def shift(self, shift):
        return shift.mean(0, keepdim=True)


class ShiftIsBounded(OfTheVariance):
    """The shift is cut at 2 (Doe 2026)."""

    def shift(self, shift):
        return shift.clamp(-2, 2)


class ShiftIsMirrored(OfTheVariance):
    """The shift is that of the mirrored image (Doe 2026)."""

    def shift(self, shift):
        return shift.flip(-1)


VARIANCE_MUTANTS: list[tuple[Sampler, str]] = [
    (MeanOfTheBatch(), "check_batch_is_not_mixed"),
    (MeanOfTheBatch(), "check_batch_is_not_mixed_on_flow"),
    (FirstOfTheBatch(), "check_batch_is_not_mixed_on_ve"),
    (MeanOfTheImage(), "check_pixels_are_independent"),
    (MeanOfTheImage(), "check_any_shape"),
    (MeanOfChannels(), "check_pixels_are_independent"),
    (Mirrored(), "check_pixels_are_independent"),
    (KeptByShape(), "check_runs_leave_nothing_behind"),
    (ShiftOfTheBatch(), "check_noise_is_as_predicted"),
    (ShiftIsBounded(), "check_noise_is_as_predicted_on_flow"),
    (ShiftIsMirrored(), "check_noise_is_as_predicted_on_ve"),
]
