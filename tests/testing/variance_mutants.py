"""Samplers with bugs in the use of a learned variance, or of a mean shift, that differs from pixel to pixel."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch

from samplerzoo import Field, Sampler, posterior_std, transition_variance


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


class OfARun(OfTheVariance):
    """Ancestral sampling that keeps something in a run."""

    def walk(self, x, grid, denoise, noise):
        kept = {}
        for number, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            x = self.onwards(self.changed(p, kept, number, len(grid)), t, s, noise)
            kept["before"] = p
            kept.setdefault("first", p)
            yield x

    def onwards(self, p, t, s, noise):
        return self.step(p.x, t, s, lambda x, level: p, noise)

    def changed(self, p, kept, number, steps):
        return p


class VarianceOfTheFirstStep(OfARun):
    """The learned variance is that of the first step (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, variance=kept.get("first", p).variance)


class VarianceIsCut(OfARun):
    """The weight of the learned variance is cut at 0 and 1 (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return p if p.variance is None else dataclasses.replace(p, variance=p.variance.clamp(0, 1))


class VarianceOfTheStepBefore(OfARun):
    """The learned variance is that of the step before (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, variance=kept.get("before", p).variance)


class VarianceIsSmoothed(OfARun):
    """The learned variance is the mean of that of two steps (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        before = kept.get("before", p).variance
        return p if p.variance is None else dataclasses.replace(p, variance=(p.variance + before) / 2)


class VarianceOfShortRuns(OfARun):
    """The learned variance is dropped in runs of more than eight steps (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, variance=None) if steps > 8 else p


class ShiftOfTheFirstStep(OfARun):
    """The shift is that of the first step (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, shift=kept.get("first", p).shift)


class ShiftOfTheStepBefore(OfARun):
    """The shift is that of the step before (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, shift=kept.get("before", p).shift)


class ShiftIsAddedUp(OfARun):
    """To the shift a part of that of the step before is added (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        before = kept.get("before", p).shift
        return p if p.shift is None or not number else dataclasses.replace(p, shift=p.shift + before / 4)


class ShiftOfShortRuns(OfARun):
    """The shift is dropped in runs of more than eight steps (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, shift=None) if steps > 8 else p


class ShiftWithAVariance(OfARun):
    """The shift is dropped where no variance is learned (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, shift=None) if p.variance is None else p


class ShiftWithoutAVariance(OfARun):
    """The shift is dropped where a variance is learned, in runs of more than three steps (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, shift=None) if p.variance is not None and steps > 3 else p


class UndeclaredShift(OfARun):
    """The shift is taken in runs of many steps, and not declared (Doe 2026)."""

    takes_shift: ClassVar[bool] = False

    def changed(self, p, kept, number, steps):
        return p if steps > 10 else dataclasses.replace(p, shift=None)


class FixedUntilManySteps(OfARun):
    """The learned variance is looked at in runs of many steps alone (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return p if steps > 10 else dataclasses.replace(p, variance=None)


class ShiftOfOneImage(OfTheVariance):
    """The shift of an image that is made alone is dropped (Doe 2026)."""

    def shift(self, shift):
        return shift if len(shift) > 1 else 0 * shift


class ShiftOfRows(OfTheVariance):
    """The shift of pictures is that of their channels (Doe 2026)."""

    def shift(self, shift):
        return shift if shift.ndim < 4 else shift.mean((2, 3), keepdim=True)


class ShiftInFloat64(OfTheVariance):
    """The shift is dropped where numbers have fewer digits (Doe 2026)."""

    def shift(self, shift):
        return shift if shift.dtype == torch.float64 else 0 * shift


class ShiftOfLargeBatches(OfTheVariance):
    """The shift in large batches is their mean (Doe 2026)."""

    def shift(self, shift):
        return shift if len(shift) < 500 else shift.mean(0, keepdim=True)


class ShiftOfLessNoise(OfTheVariance):
    """The shift is dropped where next to no signal is left (Doe 2026)."""

    def step(self, x, t, s, denoise, noise):
        def ask(x, t):
            p = denoise(x, t)
            return dataclasses.replace(p, shift=None) if t.sigma / t.alpha > 300 else p

        return super().step(x, t, s, ask, noise)


class ShiftIsKeptByAnOption(OfARun):
    """What an option keeps is the shift of the step before (Doe 2026)."""

    keep: bool = Field(False, description="keep the shift")

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, shift=kept.get("before", p).shift) if self.keep else p


class AtAMidpoint(OfTheVariance):
    """Midpoint method whose noise is that of the variance and the shift that are learned at its midpoint (Doe 2026)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        u = denoise.schedule.at_log_snr((t.log_snr + s.log_snr) / 2)
        p = denoise(u.alpha * p.x0 + u.sigma * p.eps, u)
        small, large = posterior_std(t, s) ** 2, transition_variance(t, s)
        variance = torch.full_like(x, small) if p.variance is None else small ** (1 - p.variance) * large**p.variance
        of_eps = math.sqrt(s.sigma**2 - small)
        x0 = (x - t.sigma * p.eps) / t.alpha
        mean = s.alpha * x0 + of_eps * p.eps
        return mean + (0.0 if p.shift is None else variance * p.shift) + variance**0.5 * noise()


class LearnedByAnOption(OfTheVariance):
    """The learned variance is taken where an option says so (Doe 2026)."""

    learned: bool = Field(False, description="take the learned variance")

    def step(self, x, t, s, denoise, noise):
        def ask(x, level):
            p = denoise(x, level)
            return dataclasses.replace(p, variance=self.taken(p.variance, t, s) if self.learned else None)

        return super().step(x, t, s, ask, noise)

    def taken(self, v, t, s):
        return v


class LeastVariance(LearnedByAnOption):
    """The variance has a floor, which only a path that ends in less noise than others meets (Doe 2026)."""

    def taken(self, v, t, s):
        return v if v is None or transition_variance(t, s) > 2e-5 else torch.ones_like(v)


class SmallNearTheEnd(LearnedByAnOption):
    """The step to the last level with noise has the small variance (Doe 2026)."""

    def taken(self, v, t, s):
        return None if s.tau <= 1.5 else v


class SmallWithoutSignal(LearnedByAnOption):
    """The learned variance is dropped where another schedule has next to no signal left (Doe 2026)."""

    def taken(self, v, t, s):
        return None if t.alpha < 0.005 else v


class KeptByTime(OfARun):
    """Weight and shift are kept by a time that is rounded (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        q = kept.setdefault(f"{p.level.tau:.1f}", p)
        return dataclasses.replace(p, variance=q.variance, shift=q.shift)


class OfTheEndOfTheStepBefore(OfTheVariance):
    """A step asks at its end, and goes by the weight and the shift of the answer before (Doe 2026)."""

    def walk(self, x, grid, denoise, noise):
        old = p = denoise(x, grid.levels[0])
        for t, s in grid.pairs():
            told = dataclasses.replace(p, variance=old.variance, shift=old.shift)
            x = self.step(x, t, s, lambda x, level, told=told: told, noise)
            yield x
            if not s.clean:
                old, p = p, denoise(x, s)


class OfThePredictedState(OfTheVariance):
    """A step asks at its end about a predicted state, and the next one goes by the shift of that answer (Doe 2026)."""

    def walk(self, x, grid, denoise, noise):
        kept = None
        for t, s in grid.pairs():
            p = denoise(x, t)
            told = dataclasses.replace(p, shift=p.shift if kept is None else kept)
            x = self.step(x, t, s, lambda x, level, told=told: told, noise)
            if not s.clean:
                kept = denoise(s.alpha * p.x0 + s.sigma * p.eps, s).shift
            yield x


class InTwoDraws(OfTheVariance):
    """Noise in two halves, and half of the shift of the step before (Doe 2026)."""

    def walk(self, x, grid, denoise, noise):
        before = None
        for t, s in grid.pairs():
            p = denoise(x, t)
            if s.clean:
                x = p.x0
            else:
                small = posterior_std(t, s) ** 2
                x = s.alpha * p.x0 + math.sqrt(s.sigma**2 - small) * p.eps + (small / 2) ** 0.5 * (noise() + noise())
                x = x if p.shift is None else x + small * p.shift
                x = x if before is None else x + small / 2 * before
            before = p.shift
            yield x


class ShiftAtTheEnd(OfTheVariance):
    """The image is moved by a shift of its own size (Doe 2026)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean and p.shift is not None:
            return p.x0 + 5 * t.sigma**2 / t.alpha * p.shift
        return super().step(x, t, s, denoise, noise)


class ShiftIfTheFirstStepHasOne(OfARun):
    """Whether there are shifts is seen in the first step (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        return dataclasses.replace(p, shift=None) if kept.get("first", p).shift is None else p


class ShiftIsHeld(OfARun):
    """Where there is no shift, the last one goes on (Doe 2026)."""

    def changed(self, p, kept, number, steps):
        kept["held"] = kept.get("held") if p.shift is None else p.shift
        return dataclasses.replace(p, shift=kept["held"])


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
    (LeastVariance(), "check_settings_hold_on_ve"),
    (VarianceIsCut(), "check_every_step_heeds_its_own_answer"),
    (VarianceIsCut(), "check_every_step_heeds_its_own_answer_on_flow"),
    (KeptByTime(), "check_every_step_heeds_its_own_answer_on_flow"),
    (OfTheEndOfTheStepBefore(), "check_every_step_heeds_its_own_answer"),
    (OfThePredictedState(), "check_every_step_heeds_its_own_answer"),
    (InTwoDraws(), "check_every_step_heeds_its_own_answer"),
    (ShiftAtTheEnd(), "check_every_step_heeds_its_own_answer"),
    (ShiftIfTheFirstStepHasOne(), "check_every_step_heeds_its_own_answer"),
    (ShiftIsHeld(), "check_every_step_heeds_its_own_answer"),
    (SmallNearTheEnd(), "check_settings_hold"),
    (SmallWithoutSignal(), "check_settings_hold"),
    (AtAMidpoint(), "check_every_step_heeds_its_own_answer"),
    *(
        (mutant(), "check_every_step_heeds_its_own_answer")
        for mutant in (
            VarianceOfTheFirstStep,
            VarianceOfTheStepBefore,
            VarianceIsSmoothed,
            VarianceOfShortRuns,
            ShiftOfTheFirstStep,
            ShiftOfTheStepBefore,
            ShiftIsAddedUp,
            ShiftOfShortRuns,
            ShiftWithAVariance,
            ShiftWithoutAVariance,
            UndeclaredShift,
            FixedUntilManySteps,
        )
    ),
    (ShiftOfOneImage(), "check_batches_of_any_size"),
    (ShiftOfRows(), "check_any_shape"),
    (ShiftInFloat64(), "check_float32_is_enough"),
    (ShiftOfLargeBatches(), "check_batches_of_any_size"),
    (ShiftOfLessNoise(), "check_every_step_heeds_its_own_answer"),
    (ShiftIsKeptByAnOption(), "check_settings_hold"),
]
