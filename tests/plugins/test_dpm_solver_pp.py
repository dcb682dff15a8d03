"""Orders of DPM-Solver++, on data where they are exact, its relation to DDIM, and the noise of the SDE."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP

from samplerzoo.core.level import Level
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing import TOLERANCE, convergence, gaussian, is_stochastic, moments, run

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def draws() -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn(5, 1, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_of_order_1_it_is_ddim(linear: Schedule, spacing: str, eta: float) -> None:
    """Compare the ODE at eta 0 and the SDE at eta 1 with DDIM; in between the two etas scale noise differently."""
    grid, model = linear.grid(7, spacing), gaussian(linear, 0.3)
    first, ddim = (run(model, s, grid, draws()) for s in (DPMSolverPP(solver_order=1, eta=eta), DDIM(eta=eta)))
    torch.testing.assert_close(first, ddim, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2])
def test_of_two_steps_neither_has_a_second_order(linear: Schedule, steps: int) -> None:
    """Check two steps: the first knows one level, and the last has lower order."""
    grid, model = linear.grid(steps), gaussian(linear, 0.3)
    for solver_order in (2, 3):
        out = run(model, DPMSolverPP(solver_order=solver_order), grid, draws())
        torch.testing.assert_close(out, run(model, DDIM(), grid, draws()), rtol=0, atol=1e-12)


def test_of_four_steps_none_has_a_third_order(linear: Schedule) -> None:
    """Check four steps: the third knows three levels, but is the last but one."""
    grid, model = linear.grid(4), gaussian(linear, 0.3)
    second, third = (run(model, DPMSolverPP(solver_order=n), grid, draws()) for n in (2, 3))
    assert torch.equal(second, third)
    assert not torch.allclose(second, run(model, DDIM(), grid, draws()), atol=1e-3)


def along(schedule: Schedule, x0: Callable[[float], float], sampler: DPMSolverPP, levels: list[Level]) -> list[float]:
    """Walk where x0 depends on lambda alone, without noise."""

    def predict(x: torch.Tensor, t: Level) -> Prediction:
        return Prediction.of(SAMPLE, x, t, torch.full_like(x, x0(t.lam)))

    grid = schedule.grid_at(schedule.timestep(level.tau) for level in levels)
    x = torch.ones(1, 1, dtype=torch.float64)
    return [float(y) for y in sampler.walk(x, grid, Denoiser(predict, schedule), lambda: torch.zeros_like(x))]


@given(st.floats(0, 1))
def test_3m_is_exact_for_a_parabola(eta: float) -> None:
    """Check x_s = sigma_s / sigma_t e^(-eta h) x_t + alpha_s (1 + eta) int e^(-(1 + eta) (lambda_s - l)) x0(l) dl."""
    schedule = VP.from_config({})
    levels = [schedule.at_log_snr(value) for value in (-8.0, -7.0, -4.5, -3.0, -2.9, 0.0, 3.0, 4.0)]

    def x0(lam: float) -> float:
        return 1 - 2 * lam + 3 * lam**2

    states = along(schedule, x0, DPMSolverPP(solver_order=3, eta=eta), levels)
    for i in range(2, len(levels) - 2):  # from the third step on, and the last two are of lower order
        t, s = levels[i], levels[i + 1]
        h = s.lam - t.lam
        lam = t.lam + h / 2 * (NODES + 1)
        integral = float((np.exp(-(1 + eta) * (s.lam - lam)) * x0(lam) * WEIGHTS).sum() * h / 2)
        exact = s.sigma / t.sigma * math.exp(-eta * h) * states[i - 1] + s.alpha * (1 + eta) * integral
        assert states[i] == pytest.approx(exact, abs=1e-9)


def test_2m_is_algorithm_2_of_the_paper(linear: Schedule) -> None:
    """Check D = (1 + 1/2r) x0 - 1/2r x0_before and x = sigma_s / sigma_t x - alpha_s (e^-h - 1) D."""
    t_0, t_1, t_2 = (linear.at(tau) for tau in (900, 600, 450))
    states = along(linear, math.sin, DPMSolverPP(), [t_0, t_1, t_2, linear.at(3)])
    h_1, h_2 = t_1.lam - t_0.lam, t_2.lam - t_1.lam
    r = h_1 / h_2
    d = (1 + 1 / (2 * r)) * math.sin(t_1.lam) - 1 / (2 * r) * math.sin(t_0.lam)
    assert states[1] == pytest.approx(t_2.sigma / t_1.sigma * states[0] - t_2.alpha * (math.exp(-h_2) - 1) * d)


@given(eta=st.floats(0, 1), solver_order=st.integers(1, 3))
def test_the_sde_has_as_much_noise_at_a_level_as_it_should(eta: float, solver_order: int) -> None:
    """Check data that is a point, where the state's variance is sigma^2 at every level but the last.

    The rest of the old noise and the fresh noise sum to sigma_s^2, whatever eta is.
    """
    schedule = VP.from_config({})
    t, s = schedule.at(500), schedule.at(450)
    model = gaussian(schedule, 0.3, 0.0, parametrization=SAMPLE)
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    denoise = Denoiser(lambda x, t: model.denoise(x, t), schedule)
    grid = schedule.grid_at([schedule.timestep(level.tau) for level in (t, s)])

    def next_state(start: torch.Tensor, fresh: torch.Tensor) -> float:
        sampler = DPMSolverPP(solver_order=solver_order, eta=eta)
        return float(next(sampler.walk(t.alpha * 0.3 + start, grid, denoise, lambda: fresh)))

    mean = next_state(zero, zero)
    left, fresh = next_state(t.sigma * one, zero) - mean, next_state(zero, one) - mean
    assert mean == pytest.approx(s.alpha * 0.3)
    assert left**2 + fresh**2 == pytest.approx(s.sigma**2)


@pytest.mark.parametrize(("solver_order", "order"), [(1, 1), (2, 2)])
def test_order(solver_order: int, order: int) -> None:
    assert convergence(DPMSolverPP(solver_order=solver_order)).order == pytest.approx(order, abs=TOLERANCE)
    assert DPMSolverPP(solver_order=solver_order).order == order


def test_order_of_3m() -> None:
    """Check that 3M is of third order once its first steps are small."""
    two, three = convergence(DPMSolverPP()), convergence(DPMSolverPP(solver_order=3))
    assert DPMSolverPP(solver_order=3).order == 3
    assert three.reaches(3)
    assert three.errors[-1] < two.errors[-1] / 8


@pytest.mark.parametrize(("solver_order", "order"), [(1, 1), (2, 2), (3, 2)])
def test_weak_order_of_the_sde(solver_order: int, order: int) -> None:
    sampler = DPMSolverPP(solver_order=solver_order, eta=1.0)
    assert is_stochastic(sampler)
    assert sampler.order == order
    assert convergence(sampler).reaches(order)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_few_steps_are_nearer_than_the_first_orders(linear: Schedule, eta: float) -> None:
    grid = linear.grid(20, "logsnr")
    first, second = (moments(gaussian(linear), DPMSolverPP(solver_order=n, eta=eta), grid).std.item() for n in (1, 2))
    assert abs(second - 0.5) < abs(first - 0.5) / 2
