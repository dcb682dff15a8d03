"""Samplers with bugs, each with the checks that are to catch it.

Where a docstring names a program, that is where the bug was; the others are there so that every check is seen to fail.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import random
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, PrivateAttr, field_serializer
from samplerzoo_plugins.consistency import Consistency
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.reverse_sde import ReverseSDE

from samplerzoo.core.condition import Condition
from samplerzoo.core.level import transition_variance
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError
from samplerzoo.testing.fixtures import Flow

# -- the originals of the mutants that the built-in plugins are not


class Adams(Sampler):
    """Exponential Adams-Bashforth in data prediction, two steps (Lu et al. 2022, DPM-Solver++ 2M)."""

    order = property(lambda self: 2)

    def walk(self, x, grid, denoise, noise) -> Iterator[torch.Tensor]:
        before: list = []
        for t, s in grid.pairs():
            x = self.stride(x, t, s, denoise, before)
            yield x

    def stride(self, x, t, s, denoise, before):
        p = denoise(x, t)
        D = p.x0
        if s.clean:
            return D
        h = (s.log_snr - t.log_snr) / 2
        if before:
            past, width = before[-1]
            D = D + h / (2 * width) * (D - past)
        before.append((p.x0, h))
        return s.sigma / t.sigma * x - self.norm(t, s) * s.alpha * math.expm1(-h) * D

    def norm(self, t, s):
        """1 if s alone is in it."""
        return 1.0


class Corrected(Flow):
    """A step and a Langevin step (Song et al. 2021, algorithm 5)."""

    order = property(lambda self: 0)

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        if s.clean:
            return x
        score, z = denoise(x, s).score, noise()
        size = self.size(s, score, z)
        return x + size * score + (2 * size) ** 0.5 * z

    def size(self, s, score, z):
        return 2 * (0.1 * s.sigma) ** 2


# -- mutants of samplers


class PreviousTimestep(Flow):
    """diffusers' DDIM: t - T // S for the previous timestep, whatever the grid (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        stride = denoise.schedule.T // len(grid)
        for t, _ in grid.pairs():
            x = self.step(x, t, denoise.schedule.at(max(t.tau - stride, 0)), denoise, noise)
            yield x


class NoiseAtTheEnd(DDPM):
    """diffusers' DDPM: fresh noise in the finished image, where timesteps end above 0 (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x + transition_variance(t, s) ** 0.5 * noise() if s.clean else x


class ClippedByItself(Flow):
    """diffusers' DDIM: clips x0 and keeps the raw eps (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0.clamp(-1, 1) + s.sigma * p.eps


class SigmaOfTheWrongLevel(Adams):
    """azula's REAB: sigma_t where the derivation has sigma_s, which costs an order (Lu et al. 2022)."""

    def norm(self, t, s):
        return math.hypot(s.alpha, t.sigma) / math.hypot(s.alpha, s.sigma)


class BatchMeanSteps(Corrected):
    """score_sde's Langevin corrector: a step size from norms, averaged over the batch (Song et al. 2021)."""

    def size(self, s, score, z):
        ratio = z.flatten(1).norm(dim=1).mean() / score.flatten(1).norm(dim=1).mean()
        return 2 * (0.1 * ratio) ** 2


class LeakedBuffer(Adams):
    """diffusers' multistep schedulers: the object keeps what it saw in the last run (Lu et al. 2022)."""

    _before: list = PrivateAttr(default_factory=list)

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            x = self.stride(x, t, s, denoise, self._before if self._before[-1:] and self._fits(x) else self._fresh())
            yield x

    def _fits(self, x):
        return self._before[-1][0].shape == x.shape

    def _fresh(self):
        self._before.clear()
        return self._before


class SharedBuffer(LeakedBuffer):
    """The same, cleared when a run begins: one run after another is right, two at a time are not (Lu et al. 2022)."""

    def walk(self, x, grid, denoise, noise):
        self._fresh()
        yield from super().walk(x, grid, denoise, noise)


class DeltaIsOneOverN(ReverseSDE):
    """score_sde: steps of T/N, on levels that are not T/N apart (Song et al. 2021)."""

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            p = denoise(x, t)
            beta = t.rate * denoise.schedule.T / len(grid)
            x = p.x0 if s.clean else x + beta / 2 * x + beta * p.score + math.sqrt(beta) * noise()
            yield x


class GlobalTorch(DDPM):
    """azula, lucidrains: randn_like (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: torch.randn_like(x))


class GlobalNumpy(DDPM):
    """The same by numpy, in bits that no image shows (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        np.random.standard_normal()
        return super().step(x, t, s, denoise, noise)


class Reseeding(DDPM):
    """Seeds the interpreter's generator (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        random.seed(0)
        return super().step(x, t, s, denoise, noise)


class Entropy(DDPM):
    """A generator of its own, seeded by the machine (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        generator = torch.Generator().manual_seed(int.from_bytes(os.urandom(4)))
        return super().step(x, t, s, denoise, lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype))


class InPlaceState(Flow):
    """Writes over x_T (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return x.copy_(s.alpha * p.x0 + s.sigma * p.eps)


class InPlacePrediction(Flow):
    """Writes over the prediction (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return p.x0.mul_(s.alpha).add_(s.sigma * p.eps)


class OneTensor(Flow):
    """Yields one tensor over and over: what was recorded changes (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        x = x.clone()
        for t, s in grid.pairs():
            x.copy_(self.step(x, t, s, denoise, noise))
            yield x


class Upcast(Flow):
    """Coefficients in a float64 tensor: so are the images, and the network's input (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) * torch.ones(1, dtype=torch.float64)


class Downcast(Flow):
    """The state in float32, whatever it came in (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise).float()


class HiddenDowncast(Flow):
    """diffusers computes in float32 and casts back (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise).float().to(x.dtype)


class NoOneStep(Flow):
    """A weight over the steps, linspace-like, that one step has none of (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        for i, (t, s) in enumerate(grid.pairs()):
            x = self.step(x, t, s, denoise, noise) + 0.0 * i / (len(grid) - 1)
            yield x


class IgnoresOneStep(Flow):
    """A grid of one step is passed over (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        return iter([x]) if len(grid) == 1 else super().walk(x, grid, denoise, noise)


class YieldsTwice(Flow):
    """The predicted state and the finished one (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        for state in super().walk(x, grid, denoise, noise):
            yield state
            yield state


class ForgetsTheLast(Flow):
    """The last step is not yielded (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        yield from list(super().walk(x, grid, denoise, noise))[:-1]


class FourDimensions(Flow):
    """score_sde and many more: coefficients of the shape (N, 1, 1, 1) (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        alpha = torch.full((len(x),), s.alpha, dtype=x.dtype).view(-1, 1, 1, 1)
        return alpha * p.x0 + s.sigma * p.eps


class Halved(Flow):
    """Declares second order (Song, Meng, Ermon 2021)."""

    order = property(lambda self: 2)


class Wasteful(DDIM):
    """guided-diffusion, k-diffusion: draws that are multiplied by 0 (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) + 0 * noise()


class WastefulAtTheEnd(DDPM):
    """guided-diffusion: draws at the clean level too, for a mask to drop (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        z = noise()
        return super().step(x, t, s, denoise, lambda: z)


class DrawsAhead(DDPM):
    """Draws all noise of a step before it knows how much it needs (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        draws = [] if s.clean else [noise(), noise()]
        return super().step(x, t, s, denoise, lambda: draws[1])


class AroundTheCounter(Flow):
    """Asks what stands behind `denoise` (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise.predict, noise)


class RawNetwork(Flow):
    """Takes the network's own output for eps, as samplers in notebooks do (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        eps = _model(denoise.predict).net(x, x.new_full((len(x),), t.tau), Condition())[:, : x.shape[1]]
        p = p.replace(eps=eps)
        return s.alpha * p.x0 + s.sigma * p.eps


def _model(predict: Callable) -> Any:
    """Found by rummaging."""
    while not inspect.ismethod(predict):
        predict = inspect.getclosurevars(predict).nonlocals["guided"].func
    return predict.__self__


class Truncated(Flow):
    """score_sde: the index of the table is truncated, so that level and time part (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, dataclasses.replace(t, tau=max(1.0, math.floor(t.tau * 0.999))), s, denoise, noise)


class DeafToTheShift(Flow):
    """Declares that it takes the mean shift, and does not (Dhariwal and Nichol 2021)."""

    takes_shift: ClassVar[bool] = True


class Biased(Flow):
    """Adds something (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) + 1e-3


class HalfTheNoise(DDPM):
    """Half the variance (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: math.sqrt(0.5) * noise())


class UnitVariance(Flow):
    """Notebooks that know abar alone: sigma is made of alpha, as on a variance-preserving path (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0 + math.sqrt(1 - s.alpha**2) * p.eps


class Unsourced(Flow):
    """The best sampler of all."""


class Unbounded(Flow):
    """An option without bounds (Song, Meng, Ermon 2021)."""

    much: float = Field(1.0, description="of it")


class Forgetful(Flow):
    """Rounds its option in JSON (Song, Meng, Ermon 2021)."""

    much: float = Field(0.123, ge=0, le=1, description="of it")

    @field_serializer("much")
    def _rounded(self, much: float) -> float:
        return round(much, 1)


class Coward(Flow):
    """Refuses every kind of path (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        raise UsageError("it is not for this kind of path")


class HardCodedLevel(Flow):
    """Asks for a timestep of VP, whatever the path: what the schedule says to that is no refusal (Song et al. 2021)."""

    def step(self, x, t, s, denoise, noise):
        if denoise.schedule.at(999.0).clean:
            return x
        return super().step(x, t, s, denoise, noise)


class TakesAFlag(Flow):
    """A field that is a flag of `run` (Song, Meng, Ermon 2021)."""

    steps: int = Field(1, ge=1, description="of it")


def local() -> Sampler:
    class Local(Flow):
        """Defined where pickle does not find it (Song, Meng, Ermon 2021)."""

    return Local()


def on_other_paths(*checks: str) -> set[str]:
    """Return the names of checks as they are made on a VE path and on a straight one."""
    return {f"{check}_on_{path}" for check in checks for path in ("ve", "flow")}


class ThirdOrderOffByDefault(DPMSolverPP):
    """Is right at its default order, and has a wrong second difference at order 3 (Lu et al. 2022)."""

    def _update(self, x, known, s, noise):
        if len(known) == 3:
            (_, m1), (v, m2) = known[1:]
            known = [*known[:2], (v, 2 * m1 - m2)]
        return super()._update(x, known, s, noise)


class TooLittleNoiseAgain(Consistency):
    """Puts nine tenths of the noise back (Song et al. 2023)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: 0.9 * noise())


class EtaIsASwitch(DDIM):
    """Has all of the ancestral noise at any eta above 0 (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return DDIM(eta=float(self.eta > 0)).step(x, t, s, denoise, noise)


class KnowsBetter(DDPM):
    """Takes the learned variance of a model that has one, whatever the user asked for (Nichol and Dhariwal 2021)."""

    def suited(self, model):
        return self if model.variance is None else self.model_copy(update={"variance": model.variance})


class LowerAtSomeNumbers(DPMSolverPP):
    """Has order 1 in every second step where steps are 30 to 60, as by a threshold for few steps (Lu et al. 2022b)."""

    def walk(self, x, grid, denoise, noise):
        known = []
        for i, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            most = 1 if i % 2 and 30 <= len(grid) <= 60 else min(2, len(grid) - i)
            known = [(t, p.x0), *known][:2]
            x = p.x0 if s.clean else self._update(x, known[:most], s, noise)
            yield x


SAMPLER_MUTANTS: list[tuple[Sampler, set[str]]] = [
    (LowerAtSomeNumbers(), {"check_order"} | on_other_paths("check_order")),
    (
        PreviousTimestep(),
        {"check_irregular_grids", "check_moments", "check_order"}
        | on_other_paths("check_irregular_grids", "check_moments", "check_order"),
    ),
    (NoiseAtTheEnd(variance="large"), {"check_lands_on_the_point"} | on_other_paths("check_lands_on_the_point")),
    (
        ClippedByItself(),
        {"check_lands_on_the_point", "check_moments"} | on_other_paths("check_lands_on_the_point", "check_moments"),
    ),
    (SigmaOfTheWrongLevel(), {"check_order"} | on_other_paths("check_order")),
    (BatchMeanSteps(), {"check_batch_is_not_mixed"}),
    (LeakedBuffer(), {"check_runs_leave_nothing_behind"}),
    (SharedBuffer(), {"check_runs_leave_nothing_behind"}),
    (
        DeltaIsOneOverN(),
        {"check_irregular_grids", "check_moments", "check_order"}
        | on_other_paths("check_irregular_grids", "check_moments"),
    ),
    (GlobalTorch(), {"check_global_random_state", "check_deterministic", "check_draws_are_used"}),
    (GlobalNumpy(), {"check_global_random_state"}),
    (Reseeding(), {"check_global_random_state"}),
    (Entropy(), {"check_deterministic", "check_draws_are_used"}),
    (InPlaceState(), {"check_nothing_is_changed_in_place", "check_recording_changes_nothing"}),
    (InPlacePrediction(), {"check_nothing_is_changed_in_place"}),
    (OneTensor(), {"check_nothing_is_changed_in_place", "check_recording_changes_nothing"}),
    (Upcast(), {"check_dtype_is_kept"}),
    (Downcast(), {"check_dtype_is_kept"}),
    (HiddenDowncast(), {"check_dtype_is_kept"}),
    (
        NoOneStep(),
        {"check_one_state_a_step", "check_lands_on_the_point"}
        | on_other_paths("check_one_state_a_step", "check_lands_on_the_point"),
    ),
    (IgnoresOneStep(), {"check_lands_on_the_point"} | on_other_paths("check_lands_on_the_point")),
    (YieldsTwice(), {"check_one_state_a_step"} | on_other_paths("check_one_state_a_step")),
    (ForgetsTheLast(), {"check_one_state_a_step"} | on_other_paths("check_one_state_a_step")),
    (FourDimensions(), {"check_any_shape"}),
    (Halved(), {"check_order"} | on_other_paths("check_order")),
    (Wasteful(), {"check_draws_are_used"}),
    (WastefulAtTheEnd(), {"check_draws_are_used"}),
    (DrawsAhead(), {"check_draws_are_used"}),
    (AroundTheCounter(), {"check_nfe_is_what_it_calls"}),
    (RawNetwork(), {"check_kinds_of_network_agree"} | on_other_paths("check_kinds_of_network_agree")),
    (Truncated(), {"check_every_step"} | on_other_paths("check_every_step")),
    (DeafToTheShift(), {"check_noise_is_as_predicted"}),
    (Biased(), {"check_moments"} | on_other_paths("check_moments")),
    (HalfTheNoise(), {"check_moments", "check_order"} | on_other_paths("check_moments", "check_order")),
    (UnitVariance(), on_other_paths("check_irregular_grids", "check_moments", "check_order")),
    (KnowsBetter(), {"check_what_is_set_stays"}),
    (ThirdOrderOffByDefault(), {"check_settings_hold"}),
    (TooLittleNoiseAgain(), {"check_every_step"}),
    (EtaIsASwitch(), {"check_options_act"}),
    (Unsourced(), {"check_cites_its_source"}),
    (Unbounded(), {"check_options_are_documented"}),
    (Forgetful(), {"check_options_survive"}),
    (local(), {"check_options_survive"}),
    (TakesAFlag(), {"check_keeps_the_protocol"}),
    (Coward(), {"check_takes_some_path"}),
    (
        HardCodedLevel(),
        on_other_paths("check_one_state_a_step", "check_every_step", "check_lands_on_the_point"),
    ),
]
