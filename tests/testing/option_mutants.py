"""Samplers that are right by default, but wrong if an option is on, or for a model with another range."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch

from samplerzoo import Field, Grid, Sampler, karras, posterior_std, transition_variance


class Plain(Sampler):
    """Euler's method for the probability flow (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps


class Ancestral(Plain):
    """Ancestral sampling (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), self.std(t, s)
        if s.clean:
            return p.x0
        mean = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0)) * p.eps
        return mean + std * self.fresh(noise) if std else mean

    def std(self, t, s):
        return posterior_std(t, s)

    def fresh(self, noise):
        return noise()


class NoiseAtTheEnd(Sampler):
    """The larger variance is not 0 in the last step (Ho, Jain, Abbeel 2020)."""

    variance: Literal["small", "large"] = Field("small", description="variance of the noise")

    def step(self, x, t, s, denoise, noise):
        large = transition_variance(t, s)
        mean = s.alpha * large / t.sigma**2 * denoise(x, t).x0 + t.alpha / s.alpha * s.sigma**2 / t.sigma**2 * x
        variance = large if self.variance == "large" else posterior_std(t, s) ** 2
        return mean + math.sqrt(variance) * noise() if variance else mean


class ZeroIsNoLimit(Ancestral):
    """Draws noise at levels up to a bound, and everywhere where that is 0 (Karras et al. 2022, algorithm 2)."""

    until: float | None = Field(None, ge=0, le=2, description="noise-to-signal ratio up to which steps draw noise")

    def std(self, t, s):
        return 0.0 if self.until and t.sigma / t.alpha > self.until else posterior_std(t, s)


class NormsOfTheBatch(Sampler):
    """The corrector's size goes by norms over the batch (Song et al. 2021, algorithm 5)."""

    order = property(lambda self: 0)
    adaptive: bool = Field(False, description="size by norms")

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        x = s.alpha * p.x0 + s.sigma * p.eps
        score, z = denoise(x, s).score, noise()
        size = 2 * (0.16 * s.sigma) ** 2
        if self.adaptive:
            size = 2 * float(0.16 * z.flatten(1).norm(dim=1).mean() / score.flatten(1).norm(dim=1).mean()) ** 2
        return x + size * score + math.sqrt(2 * size) * z


class WeightOfTheSecondSlopeInShortRuns(Sampler):
    """DPM-Solver-2S, whose second slope has twice its weight in runs of up to 12 steps (Lu et al. 2022b)."""

    order = property(lambda self: 2)
    ratio: float = Field(0.5, ge=0.3, le=0.9, description="place of the second evaluation in a step")

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            d = denoise(x, t).x0
            if s.clean:
                yield d
                return
            h = s.lam - t.lam
            m = denoise.schedule.at_log_snr(2 * (t.lam + self.ratio * h))
            middle = m.sigma / t.sigma * x - m.alpha * math.expm1(-self.ratio * h) * d
            weight = (1 if len(grid) <= 12 else 0.5) / self.ratio
            d = d + weight * (denoise(middle, m).x0 - d)
            x = s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * d
            yield x


class MidpointOfTheUnraisedLevel(Sampler):
    """Heun or midpoint with churn, whose midpoint does not know of the noise that is added (Karras et al. 2022)."""

    kind: Literal["heun", "midpoint"] = Field("heun", description="place of the second slope")
    churn: float = Field(0.0, ge=0, le=0.4, description="share by which the noise is raised in each step")

    order = property(lambda self: 0 if self.churn else 2)

    def step(self, x, t, s, denoise, noise):
        path, u, y = denoise.schedule, t, x / t.alpha
        top, before, after = (level.sigma / level.alpha for level in (path.at(path.T), t, s))
        if self.churn and before * (1 + self.churn) < top:
            u = path.at_log_snr(-2 * math.log(before * (1 + self.churn)))
            y = y + math.sqrt((u.sigma / u.alpha) ** 2 - before**2) * noise()
        p = denoise(u.alpha * y, u)
        if s.clean:
            return p.x0
        h = after - u.sigma / u.alpha
        if self.kind == "heun":
            return s.alpha * (y + h / 2 * (p.eps + denoise(s.alpha * (y + h * p.eps), s).eps))
        middle = path.at_log_snr(-2 * math.log((before + after) / 2))
        return s.alpha * (y + h * denoise(middle.alpha * (y + h / 2 * p.eps), middle).eps)


class OneLevelTooMany(Plain):
    """The grid of an option has a level too many (Karras et al. 2022)."""

    own: bool = Field(False, description="levels of its own")

    def grid(self, schedule, steps, spacing):
        return super().grid(schedule, steps + self.own, spacing)


class WritesIntoX0(Ancestral):
    """With all of the noise x0 is scaled in place (Song, Meng, Ermon 2021)."""

    eta: float = Field(0.0, ge=0, le=1, description="noise")

    def std(self, t, s):
        return self.eta * posterior_std(t, s)

    def step(self, x, t, s, denoise, noise):
        def ask(x, t):
            p = denoise(x, t)
            p.x0.mul_(1.0 if self.eta < 0.9 else 0.999)
            return p

        return super().step(x, t, s, ask, noise)


class WeightsAreKept(Sampler):
    """The weights of two steps are kept by the number of steps (Liu et al. 2022)."""

    order = property(lambda self: 2 if self.two else 1)
    two: bool = Field(False, description="two steps of Adams and Bashforth")
    kept: ClassVar[dict[tuple[object, ...], float]] = {}

    def walk(self, x, grid, denoise, noise):
        before = None
        for number, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            if s.clean:
                x = p.x0
            else:
                eps, h = p.eps, s.sigma / s.alpha - t.sigma / t.alpha
                if self.two and before is not None:
                    key = (len(grid), number, grid.levels[0].tau, grid.levels[-2].tau, denoise.schedule.kind)
                    ratio = self.kept.setdefault(key, h / (t.sigma / t.alpha - before[0].sigma / before[0].alpha))
                    eps = eps + ratio / 2 * (eps - before[1])
                x = s.alpha * (x / t.alpha + h * eps)
            before = t, p.eps
            yield x


class CentredNoise(Ancestral):
    """The noise of an option has the mean 0 in every picture (Song et al. 2021)."""

    centred: bool = Field(False, description="noise of mean 0")

    def fresh(self, noise):
        z = noise()
        return z - z.flatten(1).mean(1).reshape(-1, 1, 1, 1) if self.centred and z.ndim == 4 else z


class LessNoiseInLongRuns(Sampler):
    """The noise of an option is a tenth smaller in long runs (Song et al. 2021)."""

    noisy: bool = Field(False, description="noise")

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            p, std = denoise(x, t), self.noisy * posterior_std(t, s)
            if s.clean:
                x = p.x0
            else:
                x = s.alpha * p.x0 + math.sqrt(s.sigma**2 - std**2) * p.eps
                x = x + std * (0.9 if len(grid) > 250 else 1.0) * noise() if std else x
            yield x


class WrongAboveAHalf(Plain):
    """Above a half eta is squared once too little in what is left of the old noise (Song, Meng, Ermon 2021)."""

    eta: float = Field(0.0, ge=0, le=1, description="noise")

    def step(self, x, t, s, denoise, noise):
        p, full = denoise(x, t), posterior_std(t, s)
        if s.clean:
            return p.x0
        share = self.eta if 0.5 <= self.eta < 1 else self.eta**2
        x = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - share * full**2, 0)) * p.eps
        return x + self.eta * full * noise() if self.eta else x


class TableOfFour(Sampler):
    """The number of evaluations has no upper bound, and the table of weights four rows (Liu et al. 2022)."""

    evaluations: int = Field(2, ge=1, description="evaluations that are used")
    weights: ClassVar[Any] = ((1,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))

    def walk(self, x, grid, denoise, noise):
        known = []
        for t, s in grid.pairs():
            p = denoise(x, t)
            known = [p.eps, *known][: self.evaluations]
            eps = sum(weight * one for weight, one in zip(self.weights[min(len(known), 4) - 1], known, strict=False))
            x = p.x0 if s.clean else s.alpha * (x / t.alpha + (s.sigma / s.alpha - t.sigma / t.alpha) * eps)
            yield x


class SuitedForgets(Ancestral):
    """What suits a model takes the place of all options (Nichol and Dhariwal 2021)."""

    eta: float = Field(1.0, ge=0, le=1, description="noise")
    variance: Literal["small", "learned"] = Field("small", description="variance of the noise")

    def suited(self, model):
        fits = model.variance == "learned" and "variance" not in self.model_fields_set
        return type(self)(variance="learned") if fits else self

    def std(self, t, s):
        return self.eta * (posterior_std(t, s) if self.variance == "small" else 0.9 * posterior_std(t, s))


class ThousandTimesteps(Plain):
    """The grid is that of a thousand timesteps (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        if schedule.whole is None:
            return schedule.grid(steps, spacing)
        return schedule.grid_at([999 * (1 - k / steps) ** 2 for k in range(steps)])


class RangeOfEDM(Plain):
    """The levels are those of EDM, whatever the model was trained on (Karras et al. 2022)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(steps, spacing) if schedule.kind != "VE" else schedule.grid_at(karras(80.0, 0.002, steps))


class LowOfEDM(Plain):
    """Levels of its own on VE, from the top to the lowest of EDM (Karras et al. 2022)."""

    def grid(self, schedule, steps, spacing):
        if schedule.kind != "VE" or steps == 1:
            return schedule.grid(steps, spacing)
        return schedule.grid_at(karras(schedule.T, self.low(schedule), steps))

    def low(self, schedule):
        return 0.002


class LevelsOfEDM(LowOfEDM):
    """The same down to the lowest level of the model, which is right (Karras et al. 2022)."""

    def low(self, schedule):
        return schedule.low


class EndsBelowTheLowest(Plain):
    """Ends two octaves below the levels that networks were trained on (Lu et al. 2022b)."""

    def grid(self, schedule, steps, spacing):
        levels = schedule.grid(steps, spacing).levels[:-1]
        last = schedule.at_log_snr(levels[-1].log_snr + 2.8)
        return Grid((*levels[:-1], last, schedule.at(0.0))) if steps > 1 else schedule.grid(steps, spacing)


class AsksBelowTheLowest(Plain):
    """Asks once more in the last step, at a level that is far too clean (Karras et al. 2022)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            u = denoise.schedule.at_log_snr(t.log_snr + 8)
            return denoise(u.alpha * p.x0 + u.sigma * p.eps, u).x0
        return s.alpha * p.x0 + s.sigma * p.eps


class DropsOptionsOfSpacings(Plain):
    """Takes the name of a spacing without its options (Karras et al. 2022)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(steps, spacing.partition(":")[0])


class DropsTheOwnGrid(Plain):
    """Takes the usual spacing in the place of the model's own grid (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(steps, schedule.usual if spacing == "scheduler" else spacing)


class DropsTheShift(Plain):
    """Lays trailing times by itself, without the shift of a flow (Esser et al. 2024)."""

    def grid(self, schedule, steps, spacing):
        if schedule.kind != "flow" or spacing != "trailing":
            return schedule.grid(steps, spacing)
        return schedule.grid_at(schedule.timestep(schedule.T * (1 - k / steps)) for k in range(steps))


class DropsOptionsInLongRuns(Plain):
    """Takes the name of a spacing without its options, in runs of more than 40 steps (Karras et al. 2022)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(steps, spacing.partition(":")[0] if steps > 40 else spacing)


class LeadingIsTrailing(Plain):
    """Begins at the top, whatever the spacing (Lin et al. 2024)."""

    def grid(self, schedule, steps, spacing):
        return schedule.grid(steps, "trailing" if spacing == "leading" else spacing)


class PowerOfTheShare(Plain):
    """Ends below the levels of training in long runs (Song, Meng, Ermon 2021, appendix D.2)."""

    def grid(self, schedule, steps, spacing):
        if schedule.kind != "VP" or steps < 2:
            return schedule.grid(steps, spacing)
        return Grid((*(schedule.at(schedule.T * (1 - k / steps) ** 1.5) for k in range(steps)), schedule.at(0.0)))


class AsksBelowTheLowestInLongRuns(Plain):
    """Asks once more in the last step, at a quarter of the time, if that is not the lowest (Karras et al. 2022)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean and t.tau > denoise.schedule.low:
            u = denoise.schedule.at(t.tau / 4)
            return denoise(u.alpha * p.x0 + u.sigma * p.eps, u).x0
        return s.alpha * p.x0 + s.sigma * p.eps


class EverySecondLevel(Plain):
    """Takes every second level of a spacing of twice as many, which is right (Lu et al. 2022)."""

    def grid(self, schedule, steps, spacing):
        levels = schedule.grid(min(2 * steps, schedule.whole or 2 * steps), spacing).levels[:-1][::2]
        return Grid((*levels, schedule.at(0.0))) if len(levels) == steps else schedule.grid(steps, spacing)


class EverySecondPlainLevel(EverySecondLevel):
    """The same, without the options of a spacing (Lu et al. 2022)."""

    def grid(self, schedule, steps, spacing):
        return super().grid(schedule, steps, spacing.partition(":")[0])


class TimeOverAThousand(Ancestral):
    """The noise grows with the timestep over a thousand (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        self.__dict__["share"] = t.tau / 1000 if denoise.schedule.whole else t.tau / denoise.schedule.T
        return super().step(x, t, s, denoise, noise)

    def std(self, t, s):
        return self.__dict__["share"] * posterior_std(t, s)


class X0WithinTwenty(Plain):
    """x0 is cut far beyond the values of pictures (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, lambda x, t: (p := denoise(x, t)).replace(x0=p.x0.clamp(-20, 20)), noise)


class EpsWithinTen(Plain):
    """eps is cut at ten deviations (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, lambda x, t: (p := denoise(x, t)).replace(eps=p.eps.clamp(-10, 10)), noise)


class HalfATermAtTheEnd(Sampler):
    """The second term of DPM-Solver++ 2M with noise is halved where little noise is left (Lu et al. 2022b)."""

    order = property(lambda self: 2)

    def walk(self, x, grid, denoise, noise):
        before = None
        for t, s in grid.pairs():
            p = denoise(x, t)
            if s.clean:
                x = p.x0
            else:
                h, decay = s.lam - t.lam, math.expm1(-2 * (s.lam - t.lam))
                x = s.sigma / t.sigma * math.exp(-h) * x - s.alpha * decay * p.x0
                if before is not None:
                    share = 2 if t.sigma / t.alpha > 0.3 else 4
                    x = x - s.alpha * decay / share * h / (t.lam - before[0].lam) * (p.x0 - before[1])
                x = x + s.sigma * math.sqrt(-decay) * noise()
            before = t, p.x0
            yield x


class NoNoiseOfItsOwn(Sampler):
    """Without a learned variance there is no noise (Nichol and Dhariwal 2021)."""

    def step(self, x, t, s, denoise, noise):
        p, small, large = denoise(x, t), posterior_std(t, s) ** 2, transition_variance(t, s)
        if s.clean:
            return p.x0
        mean = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - small, 0)) * p.eps
        if p.variance is None:
            return mean
        return mean + (small ** (1 - p.variance) * large**p.variance) ** 0.5 * noise()


class ShiftOfTwoEvaluations(Ancestral):
    """A sampler of two evaluations heeds the shift of its first step alone (Dhariwal and Nichol 2021)."""

    takes_shift: ClassVar[bool] = True

    def walk(self, x, grid, denoise, noise):
        for number, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            if s.clean:
                yield p.x0
                continue
            variance = posterior_std(t, s) ** 2
            x0 = (p.x0 + denoise(s.alpha * p.x0 + s.sigma * p.eps, s).x0) / 2
            x = s.alpha * x0 + math.sqrt(max(s.sigma**2 - variance, 0)) * (x - t.alpha * x0) / t.sigma
            if p.shift is not None and number == 0:
                x = x + variance * p.shift
            x = x + math.sqrt(variance) * noise()
            yield x


class AnswersOfAProcess(Plain):
    """The network's answer to a state is kept for all runs (Ma et al. 2024)."""

    kept: ClassVar[dict[tuple[object, ...], Any]] = {}

    def step(self, x, t, s, denoise, noise):
        def ask(x, t):
            key = (t.tau, x.shape, x.dtype, float(x.sum()))
            if key not in self.kept:
                self.kept[key] = denoise(x, t)
            return self.kept[key]

        return super().step(x, t, s, ask, noise)


class InputIsScaled(Plain):
    """The network is handed the state times c_in (Karras et al. 2022)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x / math.sqrt(1 + (t.sigma / t.alpha) ** 2), t)
        return s.alpha * p.x0 + s.sigma * (x - t.alpha * p.x0) / t.sigma


class HeunOfVE(Sampler):
    """Heun's method for VE, whose second x lacks alpha (Karras et al. 2022)."""

    order = property(lambda self: 2)

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h, y = s.sigma / s.alpha - t.sigma / t.alpha, x / t.alpha
        return s.alpha * (y + h / 2 * (p.eps + denoise(y + h * p.eps, s).eps))


class OneLevelTooFar(Sampler):
    """A step leads one level farther than it says (Song, Meng, Ermon 2021)."""

    def walk(self, x: torch.Tensor, grid: Grid, denoise: Any, noise: Any) -> Any:
        levels = [*grid.levels[1:], grid.levels[-1]]
        for t, s in zip(grid.levels[:-1], levels[1:], strict=True):
            p = denoise(x, t)
            x = s.alpha * p.x0 + s.sigma * p.eps
            yield x


OPTION_MUTANTS: list[tuple[Sampler, str]] = [
    (NoiseAtTheEnd(), "check_settings_are_sound"),
    (NormsOfTheBatch(), "check_settings_are_sound"),
    (OneLevelTooMany(), "check_settings_are_sound"),
    (WritesIntoX0(), "check_settings_are_sound"),
    (WeightsAreKept(), "check_settings_are_sound"),
    (CentredNoise(), "check_settings_are_sound"),
    (LessNoiseInLongRuns(), "check_settings_are_sound"),
    (WrongAboveAHalf(), "check_settings_hold"),
    (TableOfFour(), "check_options_act"),
    (ZeroIsNoLimit(), "check_options_act"),
    (MidpointOfTheUnraisedLevel(), "check_settings_hold"),
    (WeightOfTheSecondSlopeInShortRuns(), "check_order"),
    (SuitedForgets(), "check_what_is_set_stays"),
    (ThousandTimesteps(), "check_grids_are_as_asked"),
    (RangeOfEDM(), "check_grids_are_as_asked_on_ve"),
    (LowOfEDM(), "check_levels_are_those_of_training_on_ve"),
    (EndsBelowTheLowest(), "check_levels_are_those_of_training"),
    (AsksBelowTheLowest(), "check_levels_are_those_of_training_on_flow"),
    (DropsOptionsOfSpacings(), "check_grids_are_as_asked"),
    (DropsTheOwnGrid(), "check_grids_are_as_asked_on_ve"),
    (DropsTheShift(), "check_grids_are_as_asked_on_flow"),
    (DropsOptionsInLongRuns(), "check_grids_are_as_asked"),
    (LeadingIsTrailing(), "check_grids_are_as_asked"),
    (PowerOfTheShare(), "check_levels_are_those_of_training"),
    (AsksBelowTheLowestInLongRuns(), "check_levels_are_those_of_training"),
    (EverySecondPlainLevel(), "check_grids_are_as_asked"),
    (TimeOverAThousand(), "check_every_step"),
    (X0WithinTwenty(), "check_answers_are_taken_as_they_are"),
    (EpsWithinTen(), "check_answers_are_taken_as_they_are"),
    (HalfATermAtTheEnd(), "check_order"),
    (NoNoiseOfItsOwn(), "check_every_step"),
    (ShiftOfTwoEvaluations(), "check_every_step_heeds_its_own_answer"),
    (AnswersOfAProcess(), "check_runs_leave_nothing_behind"),
    (InputIsScaled(), "check_every_step"),
    (HeunOfVE(), "check_every_step"),
    (OneLevelTooFar(), "check_every_step"),
]
