"""Samplers on VE and straight paths: exact answers, diffusers' own, and mutants that are right on VP alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.deis import DEIS
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.euler_ancestral import EulerAncestral
from samplerzoo_plugins.heun import Heun
from samplerzoo_plugins.ipndm import IPNDM
from samplerzoo_plugins.predictor_corrector import PredictorCorrector
from samplerzoo_plugins.probability_flow import ProbabilityFlow
from samplerzoo_plugins.reverse_diffusion import ReverseDiffusion
from samplerzoo_plugins.reverse_sde import ReverseSDE
from samplerzoo_plugins.unipc import UniPC

from samplerzoo.core.exact import gaussian
from samplerzoo.core.level import Grid, Level, transition_variance
from samplerzoo.core.parametrization import FLOW, PARAMETRIZATIONS
from samplerzoo.core.paths import VE, RectifiedFlow
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing import moments, outcomes

STD = 0.5
"""Standard deviation of the data, which an output should have."""
PATHS: dict[str, Schedule] = {"VE": VE(), "flow": RectifiedFlow()}
STEPS = (10, 20, 50)

EXACT: dict[type[Sampler], dict[str, tuple[float, float, float]]] = {
    DDPM: {"VE": (0.3019, 0.3783, 0.4445), "flow": (0.3865, 0.4329, 0.4693)},
    DDIM: {"VE": (0.3652, 0.4305, 0.4718), "flow": (0.4308, 0.4642, 0.4854)},
    EulerAncestral: {"VE": (0.3019, 0.3783, 0.4445), "flow": (0.3865, 0.4329, 0.4693)},
    ReverseDiffusion: {"VE": (0.9674, 0.6718, 0.5584), "flow": (0.6004, 0.5447, 0.5166)},
    ReverseSDE: {"VE": (0.7982, 0.5769, 0.5265), "flow": (1.3216, 0.5364, 0.5004)},
    ProbabilityFlow: {"VE": (0.3652, 0.4305, 0.4718), "flow": (0.4308, 0.4642, 0.4854)},
    PredictorCorrector: {"VE": (0.9437, 0.6538, 0.5446), "flow": (0.5786, 0.5304, 0.5085)},
    Heun: {"VE": (0.6098, 0.5218, 0.5030), "flow": (0.5027, 0.5010, 0.5002)},
    DPMSolverPP: {"VE": (0.5794, 0.5246, 0.5032), "flow": (0.4970, 0.5055, 0.5017)},
    DEIS: {"VE": (0.4092, 0.4779, 0.4979), "flow": (0.4850, 0.4969, 0.4995)},
    IPNDM: {"VE": (0.4133, 0.4828, 0.4991), "flow": (0.4911, 0.4981, 0.4997)},
    UniPC: {"VE": (0.5949, 0.5171, 0.5009), "flow": (0.5026, 0.5040, 0.5007)},
}
"""Standard deviation of the output at 10, 20 and 50 steps of the usual spacing, on data N(0.5, 0.5^2)."""


def output_std(sampler: Sampler, schedule: Schedule, grid: Grid, mean: float = 0.5) -> float:
    kind = FLOW if schedule.kind == "flow" else PARAMETRIZATIONS["epsilon"]
    return moments(gaussian(schedule, mean, STD, parametrization=kind), sampler, grid).std.item()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sampler", EXACT)
def test_output_std_is_the_exact_one(sampler: type[Sampler], path: str) -> None:
    found = [output_std(sampler(), PATHS[path], PATHS[path].grid(steps)) for steps in STEPS]
    assert found == pytest.approx(EXACT[sampler][path], abs=6e-5)


def factors(grid: Grid, one_step: Any) -> float:
    """Return what the standard deviation of x_T is multiplied by, where each step is linear in x."""
    product = math.prod(one_step(t, s) for t, s in list(grid.pairs())[:-1])
    return product * denoised(grid.levels[-2])


def denoised(t: Level) -> float:
    """Return E[x0 | x] / x for data N(0, STD^2)."""
    return t.alpha * STD**2 / (t.alpha**2 * STD**2 + t.sigma**2)


def noise_in(t: Level) -> float:
    """Return E[eps | x] / x for data N(0, STD^2)."""
    return t.sigma / (t.alpha**2 * STD**2 + t.sigma**2)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("steps", STEPS)
def test_deterministic_steps_are_products_in_closed_form(path: str, steps: int) -> None:
    schedule = PATHS[path]
    grid = schedule.grid(steps)

    def euler(t: Level, s: Level) -> float:
        return 1 + (s.tau - t.tau) * (t.dalpha * denoised(t) + t.dsigma * noise_in(t))

    def ddim(t: Level, s: Level) -> float:
        return s.alpha * denoised(t) + s.sigma * noise_in(t)

    for sampler, step in ((ProbabilityFlow(), euler), (DDIM(), ddim)):
        expected = schedule.prior_std * factors(grid, step)
        assert output_std(sampler, schedule, grid, mean=0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("steps", STEPS)
def test_the_ancestral_sampler_is_a_recursion_of_variances(path: str, steps: int) -> None:
    schedule = PATHS[path]
    grid = schedule.grid(steps)
    variance = schedule.prior_std**2
    for t, s in list(grid.pairs())[:-1]:
        beta = transition_variance(t, s)
        of_x0, of_x = s.alpha * beta / t.sigma**2, t.alpha / s.alpha * s.sigma**2 / t.sigma**2
        variance = (of_x0 * denoised(t) + of_x) ** 2 * variance + beta * s.sigma**2 / t.sigma**2
    expected = denoised(grid.levels[-2]) * math.sqrt(variance)
    assert output_std(DDPM(), schedule, grid, mean=0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_probability_flow_is_flow_match_euler(steps: int) -> None:
    """In diffusers with shift 1, which is right; its std on N(0, 0.25) at 10 steps is 0.4238."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(steps)
    schedule = RectifiedFlow()
    grid = Grid(tuple(schedule.at(float(sigma)) for sigma in scheduler.sigmas))
    x = torch.ones(1, 1, dtype=torch.float64)  # the output is linear in x
    for t in scheduler.timesteps:
        sigma = float(t) / 1000
        velocity = (sigma - (1 - sigma) * STD**2) / ((1 - sigma) ** 2 * STD**2 + sigma**2) * x
        x = scheduler.step(velocity, t, x).prev_sample
    assert output_std(ProbabilityFlow(), schedule, grid, mean=0.0) == pytest.approx(x.item(), rel=1e-3)
    if steps == 10:
        assert x.item() == pytest.approx(0.4238, abs=1e-4)


@pytest.mark.parametrize("name", ["DEISMultistepScheduler", "SASolverScheduler"])
def test_diffusers_flow_modes_that_stop_early_are_not_copied(name: str) -> None:
    """With ten steps and shift 3 their last two levels are 0.25, and noise stays in. Here the last one is clean."""
    import diffusers
    from samplerzoo_plugins.architectures.flow import Flow

    from samplerzoo import NetworkFacts

    options = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
    scheduler = getattr(diffusers, name)(**options)
    scheduler.set_timesteps(10)
    assert scheduler.sigmas[-1].item() == pytest.approx(0.2498, abs=1e-4)  # the wrong one
    config = {"_class_name": name, **scheduler.config}
    schedule = Flow().path(config, NetworkFacts((1, 8, 8), 1)).schedule
    grid = schedule.grid(10)
    assert grid.levels[-1].clean
    even = np.linspace(1.0, 0.001, 11)[-2]
    assert grid.levels[-2].sigma == pytest.approx(3 * even / (1 + 2 * even))
    # the sampler's exact answer on the grid, whatever diffusers' scheduler does
    expected = factors(grid, lambda t, s: s.alpha * denoised(t) + s.sigma * noise_in(t))
    assert output_std(DDIM(), schedule, grid, mean=0.0) == pytest.approx(expected, rel=1e-9)


# -- mutants: right on VP, and wrong elsewhere


class RootOfOneMinusBeta(ReverseDiffusion):
    """Reverse diffusion with the paper's sqrt(1 - beta), which is alpha_t / alpha_s on VP alone (Song et al. 2021)."""

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = transition_variance(t, s)
        return (2 - math.sqrt(max(1 - beta, 0.0))) * x + beta * p.score + math.sqrt(beta) * noise()


class HalfBeta(ReverseSDE):
    """Euler-Maruyama with the drift of VP, rate / 2, in place of the path's own (Song et al. 2021)."""

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = t.rate * (t.tau - s.tau)
        return x + beta / 2 * x + beta * p.score + math.sqrt(beta) * noise()


class SigmaFromAlpha(Sampler):
    """DDIM that works sigma out as sqrt(1 - alpha^2) (Song, Meng, Ermon 2021)."""

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x, t)
        return s.alpha * p.x0 + math.sqrt(1 - s.alpha**2) * p.eps


class SlopesAtS(ProbabilityFlow):
    """Euler's method with the slopes at the end of a step (Song et al. 2021)."""

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x, t)
        return p.x0 if s.clean else x + (s.tau - t.tau) * (s.dalpha * p.x0 + s.dsigma * p.eps)


@pytest.mark.parametrize("mutant", [RootOfOneMinusBeta, HalfBeta, SigmaFromAlpha])
def test_what_is_right_on_vp_alone_is_caught_by_the_kit(mutant: type[Sampler]) -> None:
    failed = {outcome.check for outcome in outcomes(mutant()) if outcome.status == "failed"}
    failed -= {"check_unit_is_free"}  # states in another unit lie on no VP path, either
    assert not {check for check in failed if not check.endswith(("_on_ve", "_on_flow"))}
    assert {check.rpartition("_")[2] for check in failed} == {"ve", "flow"}


def test_slopes_at_the_wrong_end_miss_the_exact_answer() -> None:
    from samplerzoo.core.paths import VP

    vp = VP.from_config({})
    grid = vp.grid(10)
    right, wrong = (output_std(sampler, vp, grid) for sampler in (ProbabilityFlow(), SlopesAtS()))
    assert right == pytest.approx(0.4476, abs=6e-5)
    assert abs(wrong - right) > 0.02
