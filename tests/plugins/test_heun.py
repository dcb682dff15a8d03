"""Heun's method, and churn, against the formulas of Karras et al. 2022 in their own variable, sigma / alpha."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from samplerzoo_plugins.heun import Heun
from samplerzoo_plugins.probability_flow import ProbabilityFlow

from samplerzoo.core.level import Grid
from samplerzoo.core.parametrization import PARAMETRIZATIONS
from samplerzoo.core.paths import VP, RectifiedFlow
from samplerzoo.core.prediction import Denoiser
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import TOLERANCE, convergence, draws, gaussian, moments, run
from samplerzoo.testing.fixtures import farthest, given_noise, last

MEAN, STD = 0.3, 0.5


class RK2(Sampler):
    """Example of plugins/README.md at its default."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        r = t.sigma / t.alpha
        h = s.sigma / s.alpha - r
        u = denoise.schedule.at_log_snr(-2 * math.log(r + h))
        q = denoise(u.alpha * (x / t.alpha + h * p.eps), u)
        return s.alpha * (x / t.alpha + h * (p.eps + (q.eps - p.eps) / 2))


def algorithm_2(grid: Grid, sampler: Heun) -> tuple[float, float]:
    """Compute mean and standard deviation of y = x / alpha, whose denoiser on Gaussian data is affine."""

    def slope(mean: float, r: float) -> float:  # of dy/dr = (y - D(y; r)) / r in y, and of its mean
        return r * (mean - MEAN) / (STD**2 + r**2)

    rs = [level.sigma / level.alpha for level in grid.levels]
    mean, variance = 0.0, 1 / grid.levels[0].alpha ** 2
    for r, following in itertools.pairwise(rs):
        gamma = min(sampler.s_churn / len(grid), math.sqrt(2) - 1) if sampler.s_min <= r <= sampler.s_max else 0
        raised = min(r + gamma * r, rs[0])
        variance += (raised**2 - r**2) * sampler.s_noise**2
        h = following - raised

        def step(y: float, h: float = h, raised: float = raised, following: float = following) -> float:
            d = slope(y, raised)
            if following == 0:
                return y + h * d
            return y + h * (d + slope(y + h * d, following)) / 2

        variance *= (step(1.0) - step(0.0)) ** 2
        mean = step(mean)
    return mean, math.sqrt(variance)


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
@pytest.mark.parametrize(
    "sampler",
    [Heun(), Heun(s_churn=3.0), Heun(s_churn=40.0, s_min=0.05, s_max=5.0, s_noise=1.007)],
    ids=["plain", "churn", "all"],
)
def test_is_algorithm_2(linear: Schedule, sampler: Heun, steps: int, spacing: str) -> None:
    grid = linear.grid(steps, spacing)
    if grid.levels[0].tau < linear.T:  # where the run begins below the top, churn may exceed its first level
        grid = Grid((linear.at(linear.T), *grid.levels))
    out = moments(gaussian(linear, MEAN, STD), sampler, grid)
    assert (out.mean.item(), out.std.item()) == pytest.approx(algorithm_2(grid, sampler), rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_without_churn_it_is_the_example_of_the_guide(linear: Schedule, steps: int) -> None:
    draw = lambda: torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]  # noqa: E731
    heun, rk2 = (run(gaussian(linear, MEAN), sampler, linear.grid(steps), draw) for sampler in (Heun(), RK2()))
    torch.testing.assert_close(heun, rk2, rtol=0, atol=1e-10)  # one looks up by log-SNR what the other has


def test_churn_goes_no_higher_than_the_schedule(linear: Schedule) -> None:
    """Check the schedule's top, where churn would draw noise in vain."""
    levels, drawn = [], []

    def noise() -> torch.Tensor:
        drawn.append(len(levels))
        return torch.zeros(1, 1)

    model = gaussian(linear)
    denoise = Denoiser(lambda x, t: levels.append(t.tau) or model.denoise(x, t), linear)
    list(Heun(s_churn=100.0).walk(torch.zeros(1, 1), linear.grid_at([999, 998.9, 500]), denoise, noise))
    assert levels[:3] == [1000.0, 999.9, 1000.0]
    assert drawn == [2, 4]
    assert 501 < levels[4] < 999


@pytest.mark.parametrize("options", [{"s_min": 1.0, "s_max": 0.5}, {"s_min": 1e5}, {"s_max": 1e-5}])
def test_no_churn_outside_its_levels(linear: Schedule, options: dict[str, float]) -> None:
    plain, churned = (moments(gaussian(linear), s, linear.grid(6)) for s in (Heun(), Heun(s_churn=9.0, **options)))
    assert torch.equal(plain.std, churned.std)


@pytest.mark.parametrize("steps", [5, 10, 50, 200])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("config", [{}, {"beta_schedule": "squaredcos_cap_v2"}, {"rescale_betas_zero_snr": True}])
def test_float32_is_as_good_as_float64(config: dict[str, object], kind: str, steps: int) -> None:
    schedule, network = VP.from_config(config), PARAMETRIZATIONS[kind]
    if network.blind(schedule):
        return
    model = gaussian(schedule, MEAN, STD, parametrization=network)
    exact, rounded = (
        last(Heun(), model, schedule.grid(steps), given_noise(64, (1,), dtype))
        for dtype in (torch.float64, torch.float32)
    )
    # eps of an epsilon network tells x0 to sigma / alpha roundings, which are 2 ** 14 at the top of the cosine schedule
    assert farthest(rounded, exact) < (1e-3 if kind == "epsilon" else 1e-4)


def test_a_step_from_a_level_without_signal_is_eulers() -> None:
    """Check the cosine schedule, where the trapezoidal rule from sigma / alpha = 20,000 misses data of 0.5 by 4.7."""
    cosine = VP.from_config({"beta_schedule": "squaredcos_cap_v2"})
    found = [moments(gaussian(cosine, 0.5, 0.5), Heun(), cosine.grid(n)).std.item() for n in (10, 50)]
    assert found == pytest.approx([0.4832, 0.4988], abs=6e-5)


@pytest.mark.parametrize("steps", [3, 5, 10])
def test_the_first_step_of_a_flow_is_eulers(steps: int) -> None:
    """Check the top of a straight path, sigma / alpha = 4096: Heun's method has to be better than Euler's."""
    flow = RectifiedFlow()
    heun, euler = (
        moments(gaussian(flow, 0.5, 0.5, parametrization=PARAMETRIZATIONS["flow"]), each, flow.grid(steps))
        for each in (Heun(), ProbabilityFlow())
    )
    assert abs(heun.std.item() - 0.5) < abs(euler.std.item() - 0.5)


@pytest.mark.parametrize("s_churn", [0.0, 5.0])
def test_is_of_second_order(s_churn: float) -> None:
    assert convergence(Heun(s_churn=s_churn)).order == pytest.approx(2, abs=TOLERANCE)


def test_costs_two_evaluations_a_step_and_one_at_the_last(linear: Schedule) -> None:
    for sampler in (Heun(), Heun(s_churn=5.0)):
        assert sample(gaussian(linear), sampler, steps=7, num_images=1).nfe == 13


def test_draws_are_counted_on_the_grid_that_they_are_made_on(linear: Schedule) -> None:
    """Check that churn between two noise levels draws noise only where the grid has a level between them."""
    window = Heun(s_churn=10, s_min=0.98, s_max=1.0)
    inside = [t for t in linear.grid(1000).levels[:-1] if 0.98 <= t.sigma / t.alpha <= 1.0]
    assert draws(window, linear.grid(1000), linear) == len(inside) > 0
    assert draws(window, linear.grid(5), linear) == 0
    assert draws(Heun(s_churn=10), linear.grid(5), linear) == 4  # none at the top level
    assert draws(Heun()) == 0 < draws(window)
