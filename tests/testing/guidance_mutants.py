"""Guidances with bugs, each with the checks that are to catch it.

Where a docstring names a program, that is where the bug was; the others are there so that every check is seen to fail.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import ClassVar

import torch
from samplerzoo_plugins.autoguidance import Autoguidance
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance
from samplerzoo_plugins.classifier_guidance import ClassifierGuidance

from samplerzoo import Field
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.parametrization import EPSILON
from samplerzoo.core.prediction import Prediction
from samplerzoo.errors import UsageError


class Guiding(ClassifierFreeGuidance):
    """Classifier-free guidance, both halves always, with places to go wrong in (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if model.null_label is None:
            raise UsageError("needs a null label")
        null = model.unconditional(condition)

        def guided(x, t):
            both = denoise(torch.cat([x, x]), t, null + condition)
            return self.mixed(*both.chunk(2))

        return guided

    def mixed(self, u, c):
        return c.replace(eps=u.eps + self.scale * (c.eps - u.eps))


class IgnoredCondition(Guidance):
    """lucidrains' ddim_sample: takes cond_fn, and does not look at it (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        return lambda x, t: denoise(x, t, condition)


class IgnoredLabels(Guidance):
    """The same, unconditional (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        return lambda x, t: denoise(x, t, model.condition(torch.full_like(condition.labels, 3)))


class ConventionOfW(Guiding):
    """azula: 0 is off and 1 is guided (Ho and Salimans 2022, eq. 6)."""

    def mixed(self, u, c):
        return c.replace(eps=(1 + self.scale) * c.eps - self.scale * u.eps)


class RescaledOverTheBatch(Guiding):
    """One deviation for all images (Lin et al. 2024)."""

    def mixed(self, u, c):
        p = super().mixed(u, c)
        return p.replace(eps=p.eps * c.eps.std() / p.eps.std())


class WrongHalf(Guiding):
    """Takes the halves for each other (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return super().mixed(c, u)


class WrongRow(Guiding):
    """Guides each image by its neighbour's label, as one that interleaves conditions and cuts in half does
    (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        return super().guide(denoise, model.condition(condition.labels.roll(1)), model)


class Stale(Guiding):
    """Keeps the unconditional answer of its first call (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        kept: list[Prediction] = []
        null = model.condition(torch.full_like(condition.labels, model.null_label or 0))

        def guided(x, t):
            kept.append(denoise(x, t, null))
            return self.mixed(dataclasses.replace(kept[0], x=x, level=t), denoise(x, t, condition))

        return guided


class Noisy(Guiding):
    """A little global noise (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        p = super().mixed(u, c)
        return p.replace(eps=p.eps + 1e-12 * torch.randn_like(p.eps))


class Scaling(Guiding):
    """Scales in place (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return c.replace(eps=c.eps.sub_(u.eps).mul_(self.scale).add_(u.eps))


class WideScale(Guiding):
    """The scale in a float64 tensor (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return c.replace(eps=u.eps + torch.tensor([self.scale], dtype=torch.float64) * (c.eps - u.eps))


class Graph(ClassifierGuidance):
    """The gradient's graph is kept (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        guided = super().guide(denoise, condition, model)

        def held(x, t):
            p = guided(x, t)
            with torch.enable_grad():
                return p.replace(eps=p.eps * torch.ones(1, dtype=x.dtype, requires_grad=True))

        return held


class HalfReplaced(Guiding):
    """diffusers: eps is guided and x0 is not (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return dataclasses.replace(c, eps=u.eps + self.scale * (c.eps - u.eps))


class PicturesOnly(Guiding):
    """A scale for each image, of the shape (N, 1, 1, 1) (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        scale = torch.full((len(c.x),), self.scale, dtype=c.x.dtype).view(-1, 1, 1, 1)
        return c.replace(eps=u.eps + scale * (c.eps - u.eps))


class RawOutput(Guidance):
    """Takes the network's output for eps, beside `denoise` (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        def guided(x, t):
            c, u = (
                model.net(x, x.new_full((len(x),), t.tau), y)[:, : x.shape[1]]
                for y in (condition, model.condition(torch.full_like(condition.labels, 3)))
            )
            return denoise(x, t, condition).replace(eps=u + self.scale * (c - u))

        return guided


class LosesTheVariance(Guiding):
    """A new prediction without what the old one held (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        p = super().mixed(u, c)
        return Prediction.of(EPSILON, p.x, p.level, p.eps)


class PairsOnly(Guiding):
    """Right for batches of two (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        labels = condition.labels
        return super().guide(denoise, model.condition(labels if len(labels) == 2 else labels.flip(0)), model)


class NeedsANullLabel(ClassifierFreeGuidance):
    """Crashes where the model has no null label (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        return super().guide(denoise, condition, dataclasses.replace(model, null_label=int(model.null_label)))


class BelowOneIsOff(ClassifierFreeGuidance):
    """Takes scales from 0 to 1 for no guidance, as diffusers does (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        scale = 1.0 if 0 < self.scale <= 1 else self.scale
        return ClassifierFreeGuidance(scale=scale).guide(denoise, condition, model)


class ScaleSquared(ClassifierFreeGuidance):
    """Multiplies by the scale in the pipeline and in the guidance (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        return ClassifierFreeGuidance(scale=self.scale**2).guide(denoise, condition, model)


class GuidedTwice(ClassifierFreeGuidance):
    """Guides what is guided already (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        once, null = super().guide(denoise, condition, model), model.unconditional(condition)

        def guided(x, t):
            p = once(x, t)
            return p if self.scale in (0, 1) else p.away_from(denoise(x, t, null), self.scale)

        return guided


class HalfScale(ClassifierFreeGuidance):
    """Averages the guided and the conditional prediction (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        scale = self.scale if self.scale <= 1 else (1 + self.scale) / 2
        return ClassifierFreeGuidance(scale=scale).guide(denoise, condition, model)


class ConventionOfWBeyondOne(ClassifierFreeGuidance):
    """Has scale = 1 + w in mind for scales above 1 alone (Ho and Salimans 2022, eq. 6)."""

    def guide(self, denoise, condition, model):
        scale = self.scale + (self.scale not in (0, 1))
        return ClassifierFreeGuidance(scale=scale).guide(denoise, condition, model)


class RescaleOfEps(ClassifierFreeGuidance):
    """Rescales eps where the paper's network predicts v; off by default (Lin et al. 2024)."""

    def _rescaled(self, g, c):
        pixels = tuple(range(1, g.x.ndim))
        factor = c.eps.std(pixels, correction=0, keepdim=True) / g.eps.std(pixels, correction=0, keepdim=True)
        return g.replace(eps=(self.rescale * factor + 1 - self.rescale) * g.eps)


class BoundedEps(ClassifierFreeGuidance):
    """Clamps eps in place of x0 (Saharia et al. 2022)."""

    def guide(self, denoise, condition, model):
        guided = super().guide(denoise, condition, model)
        plain = self.scale in (0, 1)
        return guided if plain else lambda x, t: (p := guided(x, t)).replace(eps=p.eps.clamp(-1, 1))


class VarianceOfTheOtherBranch(ClassifierFreeGuidance):
    """Takes the first half of the batch for what is learned of the variance (Nichol and Dhariwal 2021)."""

    def guide(self, denoise, condition, model):
        guided, null = super().guide(denoise, condition, model), model.unconditional(condition)

        def swapped(x, t):
            p = guided(x, t)
            return p if self.scale <= 1 else dataclasses.replace(p, variance=denoise(x, t, null).variance)

        return swapped


class IntervalInSigma(ClassifierFreeGuidance):
    """Compares sigma with the interval, where sigma/alpha is meant (Kynkäänniemi et al. 2024)."""

    def within_interval(self, denoise, condition, model):
        guided = self.guide(denoise, condition, model)

        def answer(x, t):
            inside = self.low < t.sigma and (self.high is None or t.sigma <= self.high)
            return guided(x, t) if inside else denoise(x, t, condition)

        return answer


class OpenInterval(ClassifierFreeGuidance):
    """Leaves out the upper end of the interval (Kynkäänniemi et al. 2024)."""

    def within_interval(self, denoise, condition, model):
        guided = self.guide(denoise, condition, model)
        return lambda x, t: (
            guided(x, t)
            if self.low < t.sigma / t.alpha and (self.high is None or t.sigma / t.alpha < self.high)
            else denoise(x, t, condition)
        )


class UnconditionalOutside(ClassifierFreeGuidance):
    """Forgets the label outside of the interval (Kynkäänniemi et al. 2024)."""

    def within_interval(self, denoise, condition, model):
        guided = super().within_interval(denoise, condition, model)
        null = model.unconditional(condition)

        def answer(x, t):
            inside = self.low < t.sigma / t.alpha and (self.high is None or t.sigma / t.alpha <= self.high)
            return guided(x, t) if inside else denoise(x, t, null)

        return answer


class LabelsShiftedBeyondOne(ClassifierFreeGuidance):
    """Guides by the label of the image before, at scales above 1 (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        shifted = condition if self.scale <= 1 else model.condition(condition.labels.roll(1))
        return super().guide(denoise, shifted, model)


class NextLabel(ClassifierFreeGuidance):
    """Counts classes from 1, at scales above 1 (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        counted = condition if self.scale <= 1 else model.condition((condition.labels + 1) % 3)
        return super().guide(denoise, counted, model)


class VarianceAddsUpToOne(ClassifierFreeGuidance):
    """Has a VP path in mind: alpha^2 + sigma^2 = 1 (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        guided = super().guide(denoise, condition, model)

        def on_vp(x, t):
            p = guided(x, t)
            return dataclasses.replace(p, x0=(x - math.sqrt(max(1 - t.alpha**2, 0)) * p.eps) / t.alpha)

        return on_vp


class GradientOfAnUnscaledState(ClassifierGuidance):
    """Has the score of a VP path in mind: the shift of eps is sqrt(1 - alpha^2) times the gradient (Dhariwal 2021)."""

    def guide(self, denoise, condition, model):
        plain = model.unconditional(condition)
        guided = super().guide(denoise, condition, model)

        def on_vp(x, t):
            p, u = guided(x, t), denoise(x, t, plain)
            return p.replace(eps=u.eps + (p.eps - u.eps) * math.sqrt(1 - t.alpha**2) / t.sigma)

        return on_vp


class GradientOnTheConditional(ClassifierGuidance):
    """Shifts the conditional prediction, in which the label is already (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        return super().guide(lambda x, t, null: denoise(x, t, condition), condition, model)


class DoubledGradient(ClassifierGuidance):
    """Takes the gradient of log p squared, at scales above 1 (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        scale = 2 * self.scale if self.scale > 1 else self.scale
        return ClassifierGuidance(scale=scale, form=self.form).guide(denoise, condition, model)


class WorseModelBothTimes(Autoguidance):
    """Guides by the square of the scale between 0 and 1 (Karras et al. 2024)."""

    def guide(self, denoise, condition, model):
        return Autoguidance(scale=min(self.scale, self.scale**2)).guide(denoise, condition, model)


class RescaledBackwards(ClassifierFreeGuidance):
    """Gives each image the deviation of the one at the other end of the batch; off by default (Lin et al. 2024)."""

    def _rescaled(self, g, c):
        return g.replace(v=g.v.flip(0))


class NullPredictionKeptByLevel(Guiding):
    """Asks without the label once a level, though correctors and Heun ask again there (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if model.null_label is None:
            raise UsageError("needs a null label")
        null, kept = model.unconditional(condition), {}

        def guided(x, t):
            if self.scale == 1:
                return denoise(x, t, condition)
            if t.tau not in kept:
                kept[t.tau] = denoise(x, t, null)
            return kept[t.tau] if self.scale == 0 else self.mixed(kept[t.tau], denoise(x, t, condition))

        return guided


class RescaleIsIgnored(ClassifierFreeGuidance):
    """Has an option that does nothing (Lin et al. 2024)."""

    def _rescaled(self, g, c):
        return g


class TemperatureIsIgnored(ClassifierGuidance):
    """Has an option that does nothing (Guo et al. 2017)."""

    def guide(self, denoise, condition, model):
        return ClassifierGuidance(scale=self.scale, form=self.form).guide(denoise, condition, model)


class ScaleSquaredBeyondFive(Guiding):
    """Is right at the scales of most tests (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return c.away_from(u, self.scale if self.scale < 5 else self.scale**2)


class MixesLargeBatches(Guiding):
    """Takes the unconditional prediction of another image, in batches of 64 and more (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return super().mixed(u.replace(eps=u.eps.roll(1, 0)) if len(u.x) >= 64 else u, c)


class TiresOfGuiding(Guiding):
    """Leaves guidance out in every second call after the twelfth, by a count that is kept (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        guided, calls = super().guide(denoise, condition, model), itertools.count(1)

        def tired(x, t):
            call = next(calls)
            return denoise(x, t, condition) if call > 12 and call % 2 else guided(x, t)

        return tired


class CappedBeyondFifteen(ClassifierFreeGuidance):
    """Cuts scales beyond 15 without a word (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        mine = ClassifierFreeGuidance(**dict(self) | {"scale": min(self.scale, 15.0)})
        return mine.guide(denoise, condition, model)


class WrongBetweenTwentyAndThirty(Guiding):
    """Squares the scale in a range that was never tried (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return c.replace(eps=u.eps + (25.0 if 20 <= self.scale <= 30 else self.scale) * (c.eps - u.eps))


class NullLabelOfFewClasses(ClassifierFreeGuidance):
    """Takes models of 50 classes and more to have no null label (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if (model.num_classes or 0) >= 50:
            return lambda x, t: denoise(x, t, condition)
        return super().guide(denoise, condition, model)


class NullBehindTheClasses(Guiding):
    """Takes the null label to be the number of classes (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        behind = torch.full_like(condition.labels, model.num_classes)
        return super().guide(denoise, condition, dataclasses.replace(model, null_label=int(behind[0])))


class PromptsAreNotGuided(ClassifierFreeGuidance):
    """Guides labels alone (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if condition.labels is None:
            return lambda x, t: denoise(x, t, condition)
        return super().guide(denoise, condition, model)


class NegativePromptIsForgotten(ClassifierFreeGuidance):
    """Leads away from no prompt in particular, whatever the negative prompt is (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if condition.labels is None:
            condition = model.condition(
                prompts=[f"{row.item():g}" for row in condition.inputs["encoder_hidden_states"]]
            )
        return super().guide(denoise, condition, model)


class GradientForConditionalNetworks(ClassifierGuidance):
    """Leaves an unconditional network as it is (Dhariwal and Nichol 2021, algorithm 2)."""

    def guide(self, denoise, condition, model):
        if model.num_classes is None:
            return lambda x, t: denoise(x, t, condition)
        return super().guide(denoise, condition, model)


class WeightByAThousandTimesteps(Guiding):
    """Guides half as far at the last of a thousand timesteps and beyond (Wang et al. 2024)."""

    def mixed(self, u, c):
        if self.scale <= 1:
            return super().mixed(u, c)
        scale = 1 + (self.scale - 1) * (1 - 0.5 * min(c.level.tau / 1000, 1.0))
        return c.replace(eps=u.eps + scale * (c.eps - u.eps))


class WeightByATimestepOfAFlow(Guiding):
    """Guides half as far from timestep 1000 of a flow on, of however many (Wang et al. 2024)."""

    def guide(self, denoise, condition, model):
        path, plain = model.schedule, super().guide(denoise, condition, model)

        def guided(x, t):
            p = plain(x, t)
            if path.kind != "flow" or self.scale <= 1:
                return p
            share = 1 - 0.5 * min(path.timestep(t.tau) / 1000, 1.0)
            return denoise(x, t, condition).away_from(p, 1 - share)

        return guided


class ZeroIsEverywhere(ClassifierFreeGuidance):
    """Guides up to a share of T, and everywhere where that is 0 (Kynkäänniemi et al. 2024)."""

    until: float | None = Field(None, ge=0, le=1, description="guide only where tau / T is at most this")

    def guide(self, denoise, condition, model):
        inside = super().guide(denoise, condition, model)

        def guided(x, t):
            outside = self.until and t.tau / model.schedule.T > self.until
            return denoise(x, t, condition) if outside else inside(x, t)

        return guided


class OrthogonalByTheWholeScale(Guiding):
    """Projected guidance by the scale in place of the scale less 1 (Sadat et al. 2024)."""

    def mixed(self, u, c):
        if self.scale <= 1:
            return super().mixed(u, c)
        d = c.x0 - u.x0
        along = (d * c.x0).flatten(1).sum(1) / c.x0.square().flatten(1).sum(1).clamp(min=1e-12)
        return c.replace(x0=c.x0 + self.scale * (d - along.reshape(-1, *[1] * (d.ndim - 1)) * c.x0))


class UniversalBackwards(Guidance):
    """Guides the clean image, and away from the label (Bansal et al. 2023, section 3.1)."""

    keeps_scale_1 = property(lambda self: False)

    def guide(self, denoise, condition, model):
        if model.classifier is None or condition.labels is None:
            raise UsageError("needs a classifier and labels")
        null, clean = model.unconditional(condition), model.schedule.at(model.schedule.low)

        def guided(x, t):
            p = denoise(x, t, null)
            with torch.enable_grad():
                x0 = p.x0.detach().requires_grad_()
                log_p = model.classifier(clean.alpha * x0, clean).to(x.dtype).log_softmax(1)
                (g,) = torch.autograd.grad(log_p.gather(1, condition.labels[:, None]).sum(), x0)
            g = g / (1 + g.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1)))
            return p.moved(self.sign * self.scale * t.sigma * g)

        return guided

    sign: ClassVar[float] = 1.0


factors = {}


class NormalisedByThePathBefore(Guiding):
    """Weighs by the noise, relative to that of the middle of a path, which is kept by kind and length (Doe 2026)."""

    def guide(self, denoise, condition, model):
        path = model.schedule
        middle = factors.setdefault((path.kind, path.T), path.at(path.T / 2).sigma)
        null = model.unconditional(condition)

        def guided(x, t):
            u, c = denoise(torch.cat([x, x]), t, null + condition).chunk(2)
            share = min(t.sigma / middle, 1.0) if self.scale > 1 else 1.0
            return c.away_from(u, 1 + share * (self.scale - 1))

        return guided


class LabelsOfOneByte(Guiding):
    """Keeps labels in a byte, which holds 256 (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        return super().guide(denoise, model.condition(condition.labels % 256), model)


class FirstThreeChannels(Guiding):
    """Guides images of 5 to 15 channels in the first three alone (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        away = c.eps - u.eps
        if 4 < away.shape[1] < 16:
            away = torch.cat([self.scale * away[:, :3], away[:, 3:]], dim=1)
            return c.replace(eps=u.eps + away)
        return c.replace(eps=u.eps + self.scale * away)


class HalfOnWideImages(Guiding):
    """Guides images of 64 pixels and more half as much (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        scale = self.scale if c.eps.shape[-1] < 64 else 1 + (self.scale - 1) / 2
        return c.replace(eps=u.eps + scale * (c.eps - u.eps))


class SomeChannelsAreNotGuided(ClassifierFreeGuidance):
    """Leaves images of 17 to 23 channels as they are (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if 17 <= model.shape[0] <= 23:
            return lambda x, t: denoise(x, t, condition)
        return super().guide(denoise, condition, model)


class LabelsBeyondSixHundred(ClassifierFreeGuidance):
    """Is one off at labels of 600 to 799 (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        labels = condition.labels
        labels = torch.where((labels >= 600) & (labels < 800), labels + 1, labels)
        return super().guide(denoise, model.condition(labels), model)


class RescaledByChannel(ClassifierFreeGuidance):
    """Takes the deviation of every channel in the place of that of the image (Lin et al. 2024)."""

    def _rescaled(self, g, c):
        pixels = tuple(range(2, g.x.ndim)) or (1,)
        std, guided = (p.v.std(pixels, correction=0, keepdim=True) for p in (c, g))
        factor = (std / guided).where(guided > 0, 1.0)
        return g.replace(v=(self.rescale * factor + 1 - self.rescale) * g.v)


class HalfInBfloat16(Guiding):
    """Guides states in bfloat16 half as far (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        scale = 1 + (self.scale - 1) / 2 if c.x.dtype == torch.bfloat16 else self.scale
        return c.replace(eps=u.eps + scale * (c.eps - u.eps))


class BatchesOfAHundredAreNotGuided(Guiding):
    """Guides batches of 100 to 127 images half as far (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        scale = 1 + (self.scale - 1) / 2 if 100 <= len(c.x) < 128 else self.scale
        return c.replace(eps=u.eps + scale * (c.eps - u.eps))


class OneLabelIsNotGuided(Guiding):
    """Takes a batch of one label for one without labels (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if len(condition.labels) > 3 and len(condition.labels.unique()) == 1:
            return lambda x, t: denoise(x, t, condition)
        return super().guide(denoise, condition, model)


class XOfThePrediction(Guiding):
    """Brings the state along larger than it is (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        p = super().mixed(u, c)
        return dataclasses.replace(p, x=1.01 * p.x)


class LevelOfTheCallBefore(Guiding):
    """Says the level of the call before (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        guided, levels = super().guide(denoise, condition, model), []

        def late(x, t):
            levels.append(t)
            return dataclasses.replace(guided(x, t), level=levels[-2:][0])

        return late


class VarianceOfNoLabel(Guiding):
    """With the rescaling of Lin et al. (2024) the variance is that of no label."""

    rescale: float = Field(0.0, ge=0, le=1, description="how far the deviation is brought back")

    def mixed(self, u, c):
        p = c.away_from(u, self.scale)
        if not self.rescale:
            return p
        own, guided = (part.v.flatten(1).std(1, correction=0) for part in (c, p))
        factor = (own / guided.clamp(min=1e-12)).reshape(-1, *[1] * (p.v.ndim - 1))
        return u.replace(v=(self.rescale * factor + 1 - self.rescale) * p.v)


GUIDANCE_MUTANTS: list[tuple[Guidance, set[str]]] = [
    (VarianceOfNoLabel(scale=2.0), {"check_learned_variance_is_kept"}),
    (TiresOfGuiding(scale=2.0), {"check_guided_runs_are_independent"}),
    (IgnoredCondition(), {"check_scale_guides", "check_scale_is_exact", "check_scale_0_is_unconditional"}),
    (IgnoredLabels(), {"check_labels_are_respected", "check_scale_1_is_conditional"}),
    (ConventionOfW(), {"check_scale_1_is_conditional", "check_scale_0_is_unconditional"}),
    (RescaledOverTheBatch(scale=2.0), {"check_guided_batch_is_not_mixed", "check_composes_with_samplers"}),
    (WrongHalf(), {"check_scale_1_is_conditional", "check_scale_0_is_unconditional", "check_labels_are_respected"}),
    (WrongRow(), {"check_scale_1_is_conditional", "check_labels_are_respected", "check_guided_batch_is_not_mixed"}),
    (Stale(scale=2.0), {"check_guided_runs_are_independent"}),
    (Noisy(), {"check_guided_runs_are_independent"}),
    (Scaling(), {"check_guidance_changes_nothing_in_place"}),
    (WideScale(), {"check_guided_dtype_is_kept"}),
    (Graph(), {"check_guided_dtype_is_kept"}),
    (HalfReplaced(scale=2.0), {"check_guided_x0_and_eps_agree"}),
    (PicturesOnly(), {"check_guided_shape"}),
    (RawOutput(), {"check_guided_kinds_of_network_agree", "check_evaluations_are_counted"}),
    (Guiding(), {"check_evaluations_are_counted"}),
    (LosesTheVariance(), {"check_learned_variance_is_kept"}),
    (PairsOnly(), {"check_composes_with_samplers"}),
    (NeedsANullLabel(), {"check_missing_requirements_are_said"}),
    (BelowOneIsOff(), {"check_scale_is_exact"}),
    (ScaleSquared(), {"check_scale_is_exact"}),
    (GuidedTwice(), {"check_scale_is_exact"}),
    (HalfScale(), {"check_scale_is_exact"}),
    (ConventionOfWBeyondOne(), {"check_scale_is_exact"}),
    (RescaleOfEps(), {"check_no_noise_is_taken_for_signal"}),
    (BoundedEps(), {"check_no_noise_is_taken_for_signal"}),
    (VarianceOfTheOtherBranch(), {"check_learned_variance_is_kept"}),
    (IntervalInSigma(), {"check_interval_is_of_noise_to_signal"}),
    (OpenInterval(), {"check_interval_is_of_noise_to_signal"}),
    (UnconditionalOutside(), {"check_interval_is_of_noise_to_signal"}),
    (LabelsShiftedBeyondOne(scale=2.0), {"check_guided_batch_is_not_mixed"}),
    (NextLabel(), {"check_labels_are_respected"}),
    (VarianceAddsUpToOne(), {"check_guided_x0_and_eps_agree"}),
    (GradientOfAnUnscaledState(), {"check_scale_1_is_conditional"}),
    (GradientOnTheConditional(), {"check_scale_1_is_conditional", "check_scale_0_is_unconditional"}),
    (DoubledGradient(), {"check_scale_is_exact"}),
    (WorseModelBothTimes(), {"check_scale_is_exact"}),
    (NullPredictionKeptByLevel(), {"check_guided_runs_are_independent"}),
    (RescaleIsIgnored(), {"check_guidance_options_act"}),
    (TemperatureIsIgnored(), {"check_guidance_options_act"}),
    (RescaledBackwards(), {"check_guided_batch_is_not_mixed"}),
    (ScaleSquaredBeyondFive(), {"check_scale_is_exact"}),
    (MixesLargeBatches(), {"check_guided_batch_is_not_mixed"}),
    (CappedBeyondFifteen(), {"check_scale_is_exact"}),
    (WrongBetweenTwentyAndThirty(), {"check_scale_is_exact"}),
    (NullLabelOfFewClasses(), {"check_guides_models_of_any_size"}),
    (NullBehindTheClasses(), {"check_null_label_may_be_any"}),
    (PromptsAreNotGuided(), {"check_prompts_are_guided_as_labels"}),
    (NegativePromptIsForgotten(), {"check_prompts_are_guided_as_labels"}),
    (GradientForConditionalNetworks(), {"check_networks_without_labels_are_guided"}),
    (WeightByAThousandTimesteps(), {"check_timesteps_are_told_as_shares"}),
    (WeightByATimestepOfAFlow(), {"check_timesteps_are_told_as_shares"}),
    (ZeroIsEverywhere(), {"check_guidance_options_act"}),
    (OrthogonalByTheWholeScale(), {"check_scale_does_not_jump"}),
    (UniversalBackwards(), {"check_labels_are_respected"}),
    (NormalisedByThePathBefore(), {"check_guided_paths_are_kept_apart"}),
    (LabelsOfOneByte(), {"check_guides_models_of_any_size"}),
    (FirstThreeChannels(), {"check_guides_models_of_any_size"}),
    (HalfOnWideImages(), {"check_guides_models_of_any_size"}),
    (SomeChannelsAreNotGuided(), {"check_guided_images_of_any_size"}),
    (LabelsBeyondSixHundred(), {"check_every_label_is_guided_to"}),
    (RescaledByChannel(), {"check_images_are_guided_whole"}),
    (HalfInBfloat16(), {"check_guided_precisions_agree"}),
    (BatchesOfAHundredAreNotGuided(), {"check_guided_batches_of_any_size"}),
    (OneLabelIsNotGuided(scale=2.0), {"check_guided_batches_of_any_size"}),
    (XOfThePrediction(scale=2.0), {"check_guided_x0_and_eps_agree"}),
    (LevelOfTheCallBefore(scale=2.0), {"check_guided_x0_and_eps_agree"}),
]
