"""Samplers with typical bugs at other settings of their options, each with the check that has to find it."""

from __future__ import annotations

import math

import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM, posterior_mean
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.euler_ancestral import EulerAncestral
from samplerzoo_plugins.heun import Heun
from samplerzoo_plugins.predictor_corrector import PredictorCorrector
from samplerzoo_plugins.unipc import UniPC

from samplerzoo import Field, Sampler, posterior_std, transition_variance


class EtaZeroFine(DDIM):
    """off only at eta>0"""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        std = self.eta * posterior_std(t, s)
        x = s.alpha * p.x0 + s.sigma * p.eps
        return x + std * noise() if std else x


class LearnedExchanged(DDPM):
    def _variance(self, p, t, s):
        if self.variance != "learned" or s.clean:
            return super()._variance(p, t, s)
        small, large = posterior_std(t, s) ** 2, transition_variance(t, s)
        return small**p.variance * large ** (1 - p.variance)


class SNoiseSquared(EulerAncestral):
    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: self.s_noise**2 * noise())


class SolverOrderIgnored(DPMSolverPP):
    def walk(self, x, grid, denoise, noise):
        yield from DPMSolverPP(solver_order=2, eta=self.eta).walk(x, grid, denoise, noise)


class SDENoiseWrong(DPMSolverPP):
    """sde noise without its half"""

    def _update(self, x, known, s, noise):
        if not self.eta:
            return super()._update(x, known, s, noise)
        h = s.lam - known[0][0].lam
        y = super()._update(x, known, s, lambda: torch.zeros_like(x))
        return y + s.sigma * math.sqrt(-math.expm1(-self.eta * h)) * noise()


class ChurnTwiceNoise(Heun):
    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            u = self._raised(t, len(grid), denoise.schedule)
            if u.tau > t.tau:
                added = u.alpha * ((u.sigma / u.alpha) - (t.sigma / t.alpha))
                x = u.alpha / t.alpha * x + added * self.s_noise * noise()
            x = self.step(x, u, s, denoise, noise)
            yield x


class SMinIgnored(Heun):
    def _raised(self, t, steps, schedule):
        return Heun(s_churn=self.s_churn, s_max=self.s_max, s_noise=self.s_noise)._raised(t, steps, schedule)


class WarmUpMissing(DPMSolverPP):
    """second step uses first again"""

    def walk(self, x, grid, denoise, noise):
        known = []
        for i, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            known = [(t, p.x0), *known][: 2 if i != 1 else 1]
            x = p.x0 if s.clean else self._update(x, known, s, noise)
            yield x


class ChurnOfTheWrongSign(Heun):
    """Heun that goes down where churn has to go up; off by default (Karras et al. 2022)."""

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            u = self._raised(t, len(grid), denoise.schedule)
            if u.tau > t.tau:
                added = u.alpha * math.sqrt((u.sigma / u.alpha) ** 2 - (t.sigma / t.alpha) ** 2)
                x = u.alpha / t.alpha * x + added * self.s_noise * noise()
                x = self.step(x, t, s, denoise, noise)
            else:
                x = self.step(x, t, s, denoise, noise)
            yield x


class EtaIsIgnored(DDIM):
    """Has an eta and does not look at it: 1 always (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        std = posterior_std(t, s)
        x = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
        return x + std * noise() if std else x


class ShiftByTheDeviation(DDPM):
    """The shift of a guidance times the standard deviation, not the variance (Dhariwal and Nichol 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        variance = self._variance(p, t, s)
        mean = posterior_mean(p, t, s)
        if p.shift is not None:
            mean = mean + variance**0.5 * p.shift
        return mean if s.clean else mean + variance**0.5 * noise()


class B1WrongOffDefault(UniPC):
    """Has a wrong B(h) for bh1 alone, whose declared order is that of bh2 (Zhao et al. 2023)."""

    def _update(self, x, known, s, at_s=None):
        found = super()._update(x, known, s, at_s)
        wrong = self.solver_type == "bh1" and at_s is None and len(known) > 1
        return found + 0.05 * (s.lam - known[0][0].lam) * (known[0][1] - known[1][1]) if wrong else found


class EtaWrongOnFlow(DDIM):
    """Has the variance of alpha^2 + sigma^2 = 1 in the noise of a flow (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        if denoise.schedule.kind == "flow" and not s.clean:
            return super().step(x, t, s, denoise, lambda: 0.8 * noise())
        return super().step(x, t, s, denoise, noise)


class OrderIsCut(DPMSolverPP):
    """Takes order 3 for order 2 without a word (Lu et al. 2022)."""

    def walk(self, x, grid, denoise, noise):
        return DPMSolverPP(solver_order=min(self.solver_order, 2), eta=self.eta).walk(x, grid, denoise, noise)


class KnowsBetterThanTheDefault(DDPM):
    """Takes the large variance for the small one, though the user asked for it (Ho, Jain, Abbeel 2020)."""

    def suited(self, model):
        return self.model_copy(update={"variance": "large"}) if self.variance == "small" else self


class NoNoiseOn(DDIM):
    """Takes the noise away on models of a kind, though the user asked for it (Song, Meng, Ermon 2021)."""

    def suited(self, model):
        return self.model_copy(update={"eta": 0.0}) if self.is_told(model) else self


class NoNoiseOnFlow(NoNoiseOn):
    """On flow models (Song, Meng, Ermon 2021)."""

    def is_told(self, model):
        return model.schedule.kind == "flow"


class NoNoiseWithClasses(NoNoiseOn):
    """On models of classes (Song, Meng, Ermon 2021)."""

    def is_told(self, model):
        return bool(model.num_classes)


class NoNoiseInLatents(NoNoiseOn):
    """On latents (Song, Meng, Ermon 2021)."""

    def is_told(self, model):
        return model.codec.has_decoder or model.shape[0] == 4


class NoNoiseWithPrompts(NoNoiseOn):
    """On models that take prompts (Song, Meng, Ermon 2021)."""

    def is_told(self, model):
        return model.text is not None


class NoNoiseForV(NoNoiseOn):
    """On models that predict v (Song, Meng, Ermon 2021)."""

    def is_told(self, model):
        return model.parametrization.name == "v_prediction"


class NoNoiseOnAnOwnGrid(NoNoiseOn):
    """On models with a scheduler of their own (Song, Meng, Ermon 2021)."""

    def is_told(self, model):
        return model.schedule.own is not None


class NoNoiseInSound(NoNoiseOn):
    """On sound (Song, Meng, Ermon 2021)."""

    def is_told(self, model):
        return len(model.shape) == 2 and model.shape[-1] > 1000


class SuitsItself(DDIM):
    """Writes what suits a model into the object of the user (Song, Meng, Ermon 2021)."""

    def suited(self, model):
        if model.variance == "learned":
            self.__dict__["eta"] = 0.25
        return self


class SuitsDefaults(DDIM):
    """Takes another default on latents of models of classes, which is right (Song, Meng, Ermon 2021)."""

    def suited(self, model):
        latents = model.codec.has_decoder and model.num_classes
        return self.model_copy(update={"eta": 1.0}) if latents and "eta" not in self.model_fields_set else self


class RaisesBeyondTheTop(Sampler):
    """Raises the level by churn, beyond the top of the path if the bound lies there (Karras et al. 2022)."""

    churn: float = Field(0.2, ge=0, le=0.4, description="share by which the noise is raised")
    most: float = Field(20.0, ge=10, le=1e4, description="no noise is added above this sigma / alpha")

    def step(self, x, t, s, denoise, noise):
        ratio = t.sigma / t.alpha
        if self.churn and ratio < self.most and not s.clean:
            raised = ratio * (1 + self.churn)
            u = denoise.schedule.at_log_snr(-2 * math.log(raised))
            x, t = u.alpha * (x / t.alpha + math.sqrt(raised**2 - ratio**2) * noise()), u
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps


class StaleScore(PredictorCorrector):
    """Takes the score of the first Langevin step in all of them (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        x = self._predicted(p, s, noise)
        size, score = 2 * (self.snr * s.sigma) ** 2, None
        for _ in range(self.corrector_steps):
            new = denoise(x, s).score
            score = new if score is None else score
            x = x + size * score + math.sqrt(2 * size) * noise()
        return x


class NoiseReusedByTheCorrector(PredictorCorrector):
    """Draws once for all Langevin steps of a level (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        drawn = [noise()] if not s.clean else []
        return super().step(x, t, s, denoise, lambda: drawn[0])


class WrongAtSeven(Sampler):
    """DDIM whose noise is told in twelfths, of which one is wrong (Song, Meng, Ermon 2021)."""

    twelfths: int = Field(1, ge=1, le=12, description="noise")

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), self.twelfths / 12 * posterior_std(t, s)
        x = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0)) * p.eps
        return x + (1.3 if self.twelfths == 7 else 1) * std * noise() if std else x


class WrongBeyondThirty(Sampler):
    """DDIM with noise of a weight without bounds, which forgets a root for large ones (Song, Meng, Ermon 2021)."""

    weight: float = Field(0.0, ge=0, description="noise")

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), self.weight / (1 + self.weight) * posterior_std(t, s)
        rest = math.sqrt(max(s.sigma**2 - std**2, 0)) if self.weight <= 30 else s.sigma - std
        x = s.alpha * p.x0 + rest * p.eps
        return x + std * noise() if std else x


SETTING_MUTANTS: list[tuple[Sampler, str]] = [
    (WrongAtSeven(), "check_settings_hold"),
    (WrongBeyondThirty(), "check_settings_hold"),
    (EtaZeroFine(), "check_settings_hold"),
    (LearnedExchanged(), "check_settings_hold"),
    (SNoiseSquared(), "check_settings_hold"),
    (SolverOrderIgnored(), "check_options_act"),
    (SDENoiseWrong(), "check_settings_hold"),
    (ChurnTwiceNoise(), "check_settings_hold"),
    (SMinIgnored(), "check_options_act"),
    (WarmUpMissing(), "check_options_act"),
    (ChurnOfTheWrongSign(), "check_settings_hold"),
    (EtaIsIgnored(), "check_options_act"),
    (ShiftByTheDeviation(), "check_noise_is_as_predicted"),
    (B1WrongOffDefault(), "check_settings_hold"),
    (EtaWrongOnFlow(), "check_settings_hold_on_flow"),
    (OrderIsCut(), "check_options_act"),
    (KnowsBetterThanTheDefault(), "check_what_is_set_stays"),
    (NoNoiseOnFlow(), "check_what_is_set_stays_on_flow"),
    (NoNoiseWithClasses(eta=1.0), "check_what_is_set_stays"),
    (NoNoiseInLatents(), "check_what_is_set_stays_on_ve"),
    (NoNoiseForV(), "check_what_is_set_stays"),
    (NoNoiseOnAnOwnGrid(), "check_what_is_set_stays_on_ve"),
    (NoNoiseInSound(), "check_what_is_set_stays"),
    (NoNoiseWithPrompts(), "check_what_is_set_stays"),
    (SuitsItself(), "check_what_is_set_stays"),
    (RaisesBeyondTheTop(), "check_options_act"),
    (StaleScore(), "check_settings_hold"),
    (StaleScore(corrector_steps=3), "check_answers_are_used"),
    (NoiseReusedByTheCorrector(predictor="ddim", corrector_steps=3), "check_every_step"),
]
