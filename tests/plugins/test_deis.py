"""Coefficients of tAB-DEIS against integrals in closed form or on a dense grid, and its relation to DDIM."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.deis import DEIS

from samplerzoo.core.level import Level
from samplerzoo.core.parametrization import EPSILON
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing import convergence, gaussian, moments, run

Variable = Literal["t", "rho", "log-rho"]
FOUR_DIGITS = 0.5e-4
VARIABLES: tuple[Variable, ...] = ("t", "rho", "log-rho")


def coordinate(level: Level, variable: Variable) -> float:
    rho = level.sigma / level.alpha
    return {"t": level.tau / 1000, "rho": rho, "log-rho": math.log(rho)}[variable]


def parabola(level: Level, variable: Variable) -> float:
    return 1 - coordinate(level, variable) + 2 * coordinate(level, variable) ** 2


def integral(schedule: Schedule, t: Level, s: Level, variable: Variable) -> float:
    """Integrate the parabola over rho, by the trapezoidal rule between levels that are close in tau."""
    tau = np.unique(np.concatenate([np.linspace(s.tau, t.tau, 40_001), np.arange(math.ceil(s.tau), t.tau)]))
    levels = [schedule.at(float(value)) for value in tau]
    values = [parabola(level, variable) for level in levels]
    return -float(np.trapezoid(values, [level.sigma / level.alpha for level in levels]))


@pytest.mark.parametrize("variable", VARIABLES)
def test_is_exact_for_a_polynomial_of_its_variable(linear: Schedule, variable: Variable) -> None:
    """Check that a step that knows three levels is exact if eps is a parabola of the level alone."""
    levels = [linear.at(tau) for tau in (1000, 880, 640, 300, 222.5)]

    def predict(x: torch.Tensor, t: Level) -> Prediction:
        return Prediction.of(EPSILON, x, t, torch.full_like(x, parabola(t, variable)))

    grid = linear.grid_at(linear.timestep(level.tau) for level in levels)
    x = torch.ones(1, 1, dtype=torch.float64)
    states = list(DEIS(variable=variable).walk(x, grid, Denoiser(predict, linear), lambda: x))
    for i in (2, 3):
        t, s = levels[i], levels[i + 1]
        exact = s.alpha * (float(states[i - 1]) / t.alpha + integral(linear, t, s, variable))
        assert float(states[i]) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("variable", VARIABLES)
def test_of_order_1_it_is_ddim(linear: Schedule, variable: Variable, spacing: str) -> None:
    """Check order 1, and the first step of any order: one value of eps leaves nothing to interpolate."""
    draw = lambda: torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]  # noqa: E731
    grid, model = linear.grid(7, spacing), gaussian(linear, 0.3)
    first, ddim = (run(model, s, grid, draw) for s in (DEIS(solver_order=1, variable=variable), DDIM()))
    torch.testing.assert_close(first, ddim, rtol=0, atol=1e-11)  # x / alpha is 157 times x at first
    two = linear.grid(2, spacing)
    third, ddim = (run(model, s, two, draw) for s in (DEIS(variable=variable), DDIM()))
    torch.testing.assert_close(third, ddim, rtol=0, atol=1e-11)


@pytest.mark.parametrize("variable", VARIABLES)
def test_order(variable: Variable) -> None:
    """Check each order in the middle of a run, after small first steps."""
    one, two, three = (convergence(DEIS(solver_order=n, variable=variable)) for n in (1, 2, 3))
    assert [DEIS(solver_order=n, variable=variable).order for n in (1, 2, 3)] == [1, 2, 3]
    assert one.reaches(1)
    assert not one.reaches(2)
    assert two.reaches(2)
    assert not two.reaches(3)
    assert three.reaches(3)
    assert three.errors[-1] < two.errors[-1] / 8


def test_integrals_over_time_are_broken_where_beta_jumps() -> None:
    """Check data N(-1.5, 1.5^2) on the cosine schedule: exact integrals give 0.1501, unbroken ones gave 0.1477."""
    cosine = VP.from_config({"beta_schedule": "squaredcos_cap_v2"})
    out = moments(gaussian(cosine, -1.5, 1.5), DEIS(), cosine.grid(10, "karras"))
    assert out.std.item() == pytest.approx(0.1501, abs=FOUR_DIGITS)
