"""Comparison of iPNDM with the formulas of Liu et al. 2022, in abar."""

from __future__ import annotations

import math

import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ipndm import IPNDM

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.parametrization import EPSILON
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing import TOLERANCE, convergence, gaussian, moments

MEAN, STD = 0.3, 0.5


def transfer(x: float, eps: float, abar_t: float, abar_s: float) -> float:
    """Step as in Liu et al. 2022, eq. 11."""
    root = math.sqrt((1 - abar_s) * abar_t) + math.sqrt((1 - abar_t) * abar_s)
    return math.sqrt(abar_s / abar_t) * x - (abar_s - abar_t) / (math.sqrt(abar_t) * root) * eps


def plms(grid: Grid, x: float, mean: float, solver_order: int) -> float:
    """Run from x with the exact eps of N(mean, STD^2); eq. 12 is the mean of four."""
    past: list[float] = []
    for t, s in grid.pairs():
        abar_t, abar_s = t.alpha**2, s.alpha**2
        e = math.sqrt(1 - abar_t) * (x - math.sqrt(abar_t) * mean) / (abar_t * STD**2 + 1 - abar_t)
        past = [e, *past][:solver_order]
        match past:
            case _ if s.tau == 0:
                combined = e
            case [_]:
                combined = e
            case [_, e1]:
                combined = (3 * e - e1) / 2
            case [_, e1, e2]:
                combined = (23 * e - 16 * e1 + 5 * e2) / 12
            case [_, e1, e2, e3]:
                combined = (55 * e - 59 * e1 + 37 * e2 - 9 * e3) / 24
        x = transfer(x, combined, abar_t, abar_s)
    return x


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("even", ["leading", "trailing"])
@pytest.mark.parametrize("solver_order", [1, 2, 3, 4])
def test_on_equal_steps_it_is_the_linear_multistep_method_of_the_paper(
    linear: Schedule, solver_order: int, steps: int, even: str
) -> None:
    grid = linear.grid(steps, even)
    out = moments(gaussian(linear, MEAN, STD), IPNDM(solver_order=solver_order), grid)
    mean, std = plms(grid, 0.0, MEAN, solver_order), plms(grid, 1.0, 0.0, solver_order)
    # eq. 11 loses digits where abar is near 1, and where it is near 0
    assert (out.mean.item(), out.std.item()) == pytest.approx((mean, abs(std)), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("solver_order", [1, 2, 3, 4])
def test_on_unequal_steps_the_mean_of_a_polynomial_is_exact(linear: Schedule, solver_order: int) -> None:
    """Check that eps which is a polynomial in time has its true mean over a step, if none before is far shorter."""

    def polynomial(tau: float) -> float:
        return sum((-1) ** k * (tau / 1000) ** k for k in range(solver_order))

    def mean(t: Level, s: Level) -> float:
        def integral(tau: float) -> float:
            return sum((-1) ** k * (tau / 1000) ** (k + 1) / (k + 1) * 1000 for k in range(solver_order))

        return (integral(s.tau) - integral(t.tau)) / (s.tau - t.tau)

    grid = linear.grid_at([999, 900, 700, 580.5, 300, 100])
    denoise = Denoiser(lambda x, t: Prediction.of(EPSILON, x, t, torch.full_like(x, polynomial(t.tau))), linear)
    x = torch.ones(1, 1, dtype=torch.float64)
    states = [x, *IPNDM(solver_order=solver_order).walk(x, grid, denoise, lambda: x)]
    for i, (t, s) in enumerate(grid.pairs()):
        if solver_order - 1 <= i < len(grid) - 1:
            step = s.sigma / s.alpha - t.sigma / t.alpha
            expected = float(states[i]) / t.alpha + step * mean(t, s)
            assert float(states[i + 1]) / s.alpha == pytest.approx(expected, rel=1e-12)


def test_more_steps_are_better_whether_they_divide_the_timesteps_or_not(linear: Schedule) -> None:
    """Check trailing steps that are rounded to whole timesteps: with the weights of equal steps 640 were worse."""

    def error(steps: int) -> float:
        model = gaussian(linear, MEAN, STD)
        return abs(moments(model, IPNDM(), linear.grid(steps)).std.item() - STD)

    assert error(640) < error(320) < error(160)


def test_one_eps_throughout_is_ddims_run(linear: Schedule) -> None:
    """Check that the weights of every order sum to 1."""
    denoise = Denoiser(lambda x, t: Prediction.of(EPSILON, x, t, torch.full_like(x, 0.4)), linear)
    x = torch.ones(1, 1, dtype=torch.float64)
    ipndm, ddim = (list(s.walk(x, linear.grid(7), denoise, lambda: x)) for s in (IPNDM(), DDIM()))
    torch.testing.assert_close(ipndm, ddim, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("solver_order", "order"), [(1, 1), (2, 2), (3, 2), (4, 2)])
def test_order(solver_order: int, order: int) -> None:
    assert IPNDM(solver_order=solver_order).order == order
    assert convergence(IPNDM(solver_order=solver_order)).order == pytest.approx(order, abs=TOLERANCE)


def test_on_a_variance_exploding_path_its_order_is_full() -> None:
    """Check that the mean over time is the one over sigma / alpha where the two are one."""

    class Full(IPNDM):
        order = property(lambda self: self.solver_order)

    assert [convergence(Full(solver_order=n), path="VE").reaches(n) for n in (1, 2, 3, 4)] == [True] * 4
