"""Exact answers of the samplers for Gaussian data and for a single point, without Monte Carlo."""

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

from samplerzoo.core.level import Grid
from samplerzoo.core.parametrization import PARAMETRIZATIONS, SAMPLE, V_PREDICTION
from samplerzoo.core.paths import VP
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian, moments
from samplerzoo.testing.fixtures import made_for

LINEAR_BETAS = np.linspace(1e-4, 0.02, 1000)

# Output standard deviation on N(0, 0.5^2), linear schedule, T = 1000, computed elsewhere and by other code.
# diffusers' own DDIM gives the leading and trailing rows too.
PUBLISHED = [
    (DDIM(), "leading", {10: 0.3741, 20: 0.4337, 50: 0.4724, 100: 0.4860, 1000: 0.4985}),
    (DDIM(), "trailing", {10: 0.3700, 20: 0.4314, 50: 0.4714, 100: 0.4854, 1000: 0.4985}),
    (DDIM(), "linspace", {10: 0.3616, 20: 0.4305, 50: 0.4719, 100: 0.4858, 1000: 0.4985}),
    (DDPM(), "leading", {10: 0.3333, 50: 0.4441, 100: 0.4683, 1000: 0.4961}),
    (DDPM(variance="large"), "leading", {10: 0.5890, 50: 0.5172, 100: 0.5085, 1000: 0.5008}),
    (DDPM(variance="large"), "trailing", {10: 0.4939, 50: 0.5117, 100: 0.5067, 1000: 0.5008}),
    (ReverseSDE(), "trailing", {5: 0.5133, 10: 0.5300, 20: 0.5147, 50: 0.5058, 100: 0.5033, 1000: 0.5011}),
    (ReverseDiffusion(), "trailing", {5: 0.4944, 10: 0.5697, 20: 0.5519, 50: 0.5248, 100: 0.5131, 1000: 0.5014}),
]
FOUR_DIGITS = 0.5e-4 + 1e-9


@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "std"),
    [(sampler, spacing, steps, std) for sampler, spacing, row in PUBLISHED for steps, std in row.items()],
)
def test_published_output_std(linear: Schedule, sampler: Sampler, spacing: str, steps: int, std: float) -> None:
    out = moments(gaussian(linear), sampler, linear.grid(steps, spacing))
    assert out.std.item() == pytest.approx(std, abs=FOUR_DIGITS)
    assert out.mean.item() == 0.0


@pytest.mark.parametrize(("steps", "std"), [(10, 0.4245), (20, 0.4628), (50, 0.4853), (100, 0.4927), (1000, 0.4988)])
def test_published_output_std_on_the_papers_quadratic_grid(linear: Schedule, steps: int, std: float) -> None:
    """Use the grid of Song, Meng, Ermon 2021: rounded down to whole timesteps, repeated ones visited once."""
    timesteps = sorted({int(t) for t in np.linspace(0, math.sqrt(800), steps) ** 2}, reverse=True)
    out = moments(gaussian(linear), DDIM(), linear.grid_at(timesteps))
    assert out.std.item() == pytest.approx(std, abs=FOUR_DIGITS)


def recursion(sampler: Sampler, grid: Grid, mean: float, std: float) -> tuple[float, float]:
    """Compute mean and variance of x, level by level, from the papers' formulas in abar, beta and eps.

    A step is x_s = a x_t + b eps + c z, and eps is affine in x_t.
    """
    log_abar = np.concatenate([[0.0], np.cumsum(np.log(1 - LINEAR_BETAS))])
    m, v = 0.0, 1.0
    for t, s in grid.pairs():
        abar_t, abar_s = (math.exp(np.interp(level.tau, np.arange(1001), log_abar)) for level in (t, s))
        sigma, beta = math.sqrt(1 - abar_t), 1 - abar_t / abar_s
        euler = -math.log(1 - LINEAR_BETAS[math.ceil(t.tau) - 1]) * (t.tau - s.tau)
        match sampler:
            case DDIM(eta=eta):  # Song, Meng, Ermon 2021, eq. 12 and 16
                c = eta * math.sqrt((1 - abar_s) / (1 - abar_t) * beta)
                a = math.sqrt(abar_s / abar_t)
                b = math.sqrt(max(1 - abar_s - c**2, 0)) - a * sigma
            case DDPM(variance=variance):  # Ho, Jain, Abbeel 2020, eq. 11: the mean in its eps form
                a, b = 1 / math.sqrt(1 - beta), -beta / sigma / math.sqrt(1 - beta)
                c = math.sqrt(beta * ((1 - abar_s) / (1 - abar_t) if variance == "small" else 1)) * (s.tau > 0)
            case _ if s.tau == 0:  # Tweedie
                a, b, c = 1 / math.sqrt(abar_t), -sigma / math.sqrt(abar_t), 0.0
            case ReverseSDE():
                a, b, c = 1 + euler / 2, -euler / sigma, math.sqrt(euler)
            case ReverseDiffusion():  # Song et al. 2021, appendix E
                a, b, c = 2 - math.sqrt(1 - beta), -beta / sigma, math.sqrt(beta)
            case ProbabilityFlow():
                a, b, c = 1 + euler / 2, -euler / 2 / sigma, 0.0
            case _:
                raise AssertionError(sampler)
        slope = sigma / (abar_t * std**2 + 1 - abar_t)  # eps = slope (x - sqrt(abar) mean)
        m = a * m + b * slope * (m - math.sqrt(abar_t) * mean)
        v = (a + b * slope) ** 2 * v + c**2
    return m, math.sqrt(v)


with_a_recursion = pytest.mark.parametrize(
    "sampler",
    [
        "ddim-0",
        "ddim-0.5",
        "ddim-1",
        "ddpm-small",
        "ddpm-large",
        "reverse-sde",
        "reverse-diffusion",
        "probability-flow",
    ],
    indirect=True,
)
"""Samplers with one evaluation per step and no memory; the others are compared in files of their own."""


@with_a_recursion
@pytest.mark.parametrize("steps", [1, 2, 7, 64, 300])
def test_mean_and_std_against_the_papers_formulas(linear: Schedule, sampler: Sampler, spacing: str, steps: int) -> None:
    means, stds = [0.3, -2.0, 0.7], [0.5, 1.5, 0.02]
    grid = linear.grid(steps, spacing)
    model = gaussian(linear, *torch.tensor([means, stds], dtype=torch.float64), shape=(3,))
    out = moments(model, sampler, grid)
    expected = [recursion(sampler, grid, mean, std) for mean, std in zip(means, stds, strict=True)]
    # float64: the reference has lost four of sixteen digits in 1 - abar at tau = 1, and x0 = (x - sigma eps) / alpha
    # has lost two, absolute, where alpha is 0.006
    np.testing.assert_allclose(out.mean, [mean for mean, _ in expected], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(out.std, [std for _, std in expected], rtol=1e-9, atol=1e-12)


BELOW_THE_FIRST_TIMESTEP = [998.5, 640.25, 17.0, 0.0, -0.6, -0.99]
"""Timesteps with fractions, and levels cleaner than any that a network is trained on."""


@with_a_recursion
def test_mean_and_std_on_levels_off_the_grid(linear: Schedule, sampler: Sampler) -> None:
    grid = linear.grid_at(BELOW_THE_FIRST_TIMESTEP)
    out = moments(gaussian(linear, 0.3), sampler, grid)
    assert (out.mean.item(), out.std.item()) == pytest.approx(recursion(sampler, grid, 0.3, 0.5), rel=1e-9)


def test_lands_on_the_point_from_levels_off_the_grid(linear: Schedule, sampler: Sampler) -> None:
    assert torch.equal(
        sample(
            gaussian(linear, 0.3, 0.0, parametrization=SAMPLE),
            sampler,
            timesteps=BELOW_THE_FIRST_TIMESTEP,
        ).images,
        torch.full((64, 1), 0.3),
    )


@pytest.mark.parametrize("kind", ["sample", "v_prediction"])
def test_the_kind_of_network_does_not_matter(linear: Schedule, sampler: Sampler, kind: str) -> None:
    grid = linear.grid(12, "logsnr")
    eps, other = (
        moments(gaussian(linear, 0.3, parametrization=PARAMETRIZATIONS[kind]), sampler, grid)
        for kind in ("epsilon", kind)
    )
    torch.testing.assert_close(other.mean, eps.mean, rtol=1e-10, atol=0)
    torch.testing.assert_close(other.std, eps.std, rtol=1e-10, atol=0)


def test_the_right_answer_in_the_limit(linear: Schedule, sampler: Sampler) -> None:
    """Check that all converge to the data in first order: 1000 steps are within a few thousandths."""
    out = moments(made_for(sampler, 0.3, 0.5, linear), sampler, linear.grid(1000))
    assert out.mean.item() == pytest.approx(0.3, abs=2e-3)
    assert out.std.item() == pytest.approx(0.5, abs=5e-3)


# -- a single point


@pytest.mark.parametrize("steps", [1, 2, 7, 64])
def test_lands_on_the_point(linear: Schedule, sampler: Sampler, spacing: str, steps: int) -> None:
    """Check bit for bit, through the driver, in float32, that no noise is left in the image."""
    points = torch.tensor([[0.3, -1.0], [0.123456, 7.0]])
    model = gaussian(linear, points, 0.0, shape=(2, 2), parametrization=SAMPLE)
    result = sample(model, sampler, steps=steps, spacing=spacing, num_images=2)
    assert torch.equal(result.images, points.expand(2, 2, 2))


@pytest.mark.parametrize(
    ("kind", "steps"), [("epsilon", 1), ("epsilon", 7), ("epsilon", 1000), ("v_prediction", 1), ("v_prediction", 7)]
)
def test_lands_on_the_point_by_way_of_eps(linear: Schedule, sampler: Sampler, steps: int, kind: str) -> None:
    model = gaussian(linear, 0.3, 0.0, parametrization=PARAMETRIZATIONS[kind])
    result = sample(model, sampler, steps=steps, num_images=2)
    # x0 = (x - sigma eps) / alpha is rounded at the size of x, 4 at most, and divided by the last step's alpha
    tolerance = 4 * 2.0**-23 / result.grid.levels[-2].alpha
    torch.testing.assert_close(result.images, torch.full((2, 1), 0.3), rtol=0, atol=tolerance)


@pytest.mark.parametrize("config", [{"rescale_betas_zero_snr": True}, {"beta_schedule": "squaredcos_cap_v2"}])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_lands_on_the_point_from_pure_noise(sampler: Sampler, config: dict[str, object], steps: int) -> None:
    schedule = VP.from_config(config)
    model = gaussian(schedule, 0.3, 0.0, parametrization=V_PREDICTION)
    sizes = []
    result = sample(model, sampler, steps=steps, num_images=2, on_step=lambda _, __, x: sizes.append(x.abs().max()))
    # x0 = alpha x - sigma v divides by nothing; it is rounded at the size of x, which a coarse Euler step makes large
    torch.testing.assert_close(result.images, torch.full((2, 1), 0.3), rtol=0, atol=2.0**-22 * float(max(sizes)))
