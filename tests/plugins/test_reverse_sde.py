"""Three discretisations of the reverse SDE, one of which is DDPM, and how fast they agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.probability_flow import ProbabilityFlow
from samplerzoo_plugins.reverse_diffusion import ReverseDiffusion
from samplerzoo_plugins.reverse_sde import ReverseSDE

from samplerzoo.core.level import Level
from samplerzoo.core.parametrization import EPSILON
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing import gaussian, moments

EULER, REVERSE, ANCESTRAL = ReverseSDE(), ReverseDiffusion(), DDPM(variance="large")


def one_step(sampler: Sampler, schedule: Schedule, t: Level, s: Level) -> np.ndarray:
    """Return (a, b, c^2) of x_s = a x_t + b eps + c z."""
    x, eps, z = torch.eye(3, dtype=torch.float64)
    denoise = Denoiser(lambda x, t: Prediction.of(EPSILON, x, t, eps), schedule)
    a, b, c = sampler.step(x, t, s, denoise, lambda: z).tolist()
    return np.array([a, b, c**2])


def slope(steps: list[float], errors: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.mark.parametrize(
    ("pair", "orders"),
    [
        ((EULER, REVERSE), (2, 2, 2)),
        ((EULER, ANCESTRAL), (2, 3, 2)),  # beta against 2 sinh(beta / 2)
        ((REVERSE, ANCESTRAL), (2, 2, None)),  # one and the same variance
        ((ProbabilityFlow(), DDIM()), (2, 2, None)),  # no noise
    ],
    ids=str,
)
def test_one_step_differs_in_second_order_of_beta(
    linear: Schedule, pair: tuple[Sampler, Sampler], orders: tuple[int | None, ...]
) -> None:
    """Compare three coefficients: of the state, of the noise in it, and the variance of the fresh noise."""
    t = linear.at(500)
    lengths = [2.0**-k for k in range(2, 8)]  # beta falls from 2.5e-3 to 8e-5
    maps = [[one_step(sampler, linear, t, linear.at(500 - h)) for sampler in pair] for h in lengths]
    for i, order in enumerate(orders):
        errors = [abs(first[i] - second[i]) for first, second in maps]
        if order is None:
            assert max(errors) < 1e-15
        else:
            assert slope(lengths, errors) == pytest.approx(order, abs=0.02)


@pytest.mark.parametrize("pair", [(EULER, REVERSE), (EULER, ANCESTRAL), (REVERSE, ANCESTRAL)], ids=str)
def test_whole_chains_converge_in_first_order(pair: tuple[Sampler, Sampler]) -> None:
    """Compare the output's deviation on N(0, 0.5^2) with T timesteps and betas of 1000 / T, on the same path."""
    sizes = [250, 500, 1000]
    gaps = []
    for T in sizes:
        schedule = VP(np.linspace(1e-4, 0.02, T) * 1000 / T)
        std = [moments(gaussian(schedule), sampler, schedule.grid(T)).std.item() for sampler in pair]
        gaps.append(abs(std[0] - std[1]))
    assert slope([float(T) for T in sizes], gaps) == pytest.approx(-1.0, abs=0.1)


@pytest.mark.parametrize("sampler", [EULER, REVERSE, ProbabilityFlow()], ids=str)
def test_the_last_step_is_tweedies_mean(linear: Schedule, sampler: Sampler) -> None:
    t = linear.at(20)
    a, b, variance = one_step(sampler, linear, t, linear.at(0))
    assert (a, b, variance) == pytest.approx((1 / t.alpha, -t.sigma / t.alpha, 0.0))


def test_euler_maruyama_takes_its_rate_at_t(linear: Schedule) -> None:
    """Check that beta is taken at t; the other convention integrates it over the step."""
    t, s = linear.at(500), linear.at(480)
    beta = -math.log(1 - np.linspace(1e-4, 0.02, 1000)[499]) * 20
    a, b, variance = one_step(EULER, linear, t, s)
    assert (a, b, variance) == pytest.approx((1 + beta / 2, -beta / t.sigma, beta), rel=1e-12)


def test_reverse_diffusion_takes_the_respaced_beta(linear: Schedule) -> None:
    t, s = linear.at(500), linear.at(480)
    beta = 1 - np.prod(1 - np.linspace(1e-4, 0.02, 1000)[480:500])
    a, b, variance = one_step(REVERSE, linear, t, s)
    assert (a, b, variance) == pytest.approx((2 - math.sqrt(1 - beta), -beta / t.sigma, beta), rel=1e-11)
