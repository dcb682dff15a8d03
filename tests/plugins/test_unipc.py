"""Relation of UniPC's corrector to the predictor, and data for which its weights are exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.unipc import UniPC

from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import convergence, gaussian

B = pytest.mark.parametrize("solver_type", ["bh1", "bh2"])
Type = Literal["bh1", "bh2"]


def known_x0(x0: Callable[[float], float], schedule: Schedule) -> Denoiser:
    """Make a denoiser whose x0 depends on lambda alone."""
    return Denoiser(lambda x, t: Prediction.of(SAMPLE, x, t, torch.full_like(x, x0(t.lam))), schedule)


def denoiser(model: Model) -> Denoiser:
    return Denoiser(lambda x, t: model.denoise(x, t), model.schedule)


def walk(sampler: UniPC | DDIM, denoise: Denoiser, timesteps: list[float]) -> list[torch.Tensor]:
    x = torch.tensor([[0.7], [-1.2]], dtype=torch.float64)
    noise = lambda: pytest.fail("it is deterministic")  # noqa: E731
    return list(sampler.walk(x, denoise.schedule.grid_at(timesteps), denoise, noise))


@B
@pytest.mark.parametrize("solver_order", [1, 2, 3])
def test_the_first_prediction_is_ddims(linear: Schedule, solver_order: int, solver_type: Type) -> None:
    model = gaussian(linear, 0.3)
    sampler = UniPC(solver_order=solver_order, solver_type=solver_type)
    first, ddim = (walk(s, denoiser(model), [999, 700, 300])[0] for s in (sampler, DDIM()))
    torch.testing.assert_close(first, ddim, rtol=0, atol=1e-12)


@B
def test_order_1_is_ddim_from_a_state_that_is_corrected(linear: Schedule, solver_type: Type) -> None:
    """Check UniC-1, which adds half of B(h) (x0 there - x0 here)."""
    model = gaussian(linear, 0.3)
    t, s, u = (linear.at(tau) for tau in (1000, 701, 301))
    x, denoise = torch.tensor([[0.7], [-1.2]], dtype=torch.float64), denoiser(model)
    first, second, _ = walk(UniPC(solver_order=1, solver_type=solver_type), denoise, [999, 700, 300])
    m_t, m_s = denoise(x, t).x0, denoise(first, s).x0
    h = s.lam - t.lam
    b = -h if solver_type == "bh1" else math.exp(-h) - 1
    corrected = first - s.alpha * b / 2 * (m_s - m_t)
    ratio = u.sigma / s.sigma
    torch.testing.assert_close(second, ratio * (corrected - s.alpha * m_s) + u.alpha * m_s, rtol=0, atol=1e-12)


@B
def test_order_3_is_exact_for_a_parabola(linear: Schedule, solver_type: Type) -> None:
    """Check x0 that depends on lambda alone: prediction and correction are the exact solution."""
    levels = [linear.at_log_snr(value) for value in (-8.0, -7.0, -4.5, -3.0, -2.9, 0.0, 3.0, 4.0)]
    denoise = known_x0(lambda lam: lam**2, linear)
    states = walk(
        UniPC(solver_order=3, solver_type=solver_type), denoise, [linear.timestep(level.tau) for level in levels]
    )

    def primitive(level: Level) -> float:
        """Return the integral of e^lambda lambda^2."""
        return math.exp(level.lam) * (level.lam**2 - 2 * level.lam + 2)

    for i in range(3, len(levels) - 2):
        t, s = levels[i], levels[i + 1]
        exact = s.sigma / t.sigma * states[i - 1] + s.sigma * (primitive(s) - primitive(t))
        torch.testing.assert_close(states[i], exact, rtol=0, atol=1e-9)


@B
def test_order_3_corrects_by_the_integral_of_the_cubic_through_four_x0(linear: Schedule, solver_type: Type) -> None:
    """Check all weights against Gauss quadrature of x_s = sigma_s / sigma_t x_t + sigma_s int e^lambda x0 dlambda.

    Prediction takes the parabola through three x0, and correction the cubic through these and the one at s.
    """
    levels = [linear.at_log_snr(value) for value in (-8.0, -7.0, -4.5, -3.0, -2.2, -1.0, 0.0, 1.5, 3.0, 4.0)]
    timesteps = [linear.timestep(level.tau) for level in levels]
    states = walk(UniPC(solver_order=3, solver_type=solver_type), known_x0(math.sin, linear), timesteps)
    nodes, weights = np.polynomial.legendre.leggauss(20)

    def integral(t: Level, s: Level, through: list[Level]) -> float:
        polynomial = Polynomial.fit([u.lam for u in through], [math.sin(u.lam) for u in through], len(through) - 1)
        lam = (t.lam + s.lam) / 2 + (s.lam - t.lam) / 2 * nodes
        return float(s.sigma * (weights * np.exp(lam) * polynomial(lam)).sum() * (s.lam - t.lam) / 2)

    def corrected(n: int) -> torch.Tensor:
        """Return the state at level n from which the next one was predicted."""
        t, s = levels[n], levels[n + 1]
        return (states[n] - integral(t, s, levels[n - 2 : n + 1])) * t.sigma / s.sigma

    for n in range(3, len(levels) - 3):  # from where three are known; the last steps are of lower order
        t, s = levels[n], levels[n + 1]
        exact = s.sigma / t.sigma * corrected(n) + integral(t, s, levels[n - 2 : n + 2])
        torch.testing.assert_close(corrected(n + 1), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("steps", [2, 4])
def test_the_last_steps_are_of_lower_order(linear: Schedule, steps: int) -> None:
    """Check that no step of two has second order, and no step of four has third order."""
    model = gaussian(linear, 0.3)
    timesteps = linear.timesteps(linear.grid(steps))
    solver_order = {2: 1, 4: 2}[steps]
    lower, higher = (walk(UniPC(solver_order=n), denoiser(model), timesteps) for n in (solver_order, solver_order + 1))
    if steps == 4:  # the second of its four is of order two; the third would be of order three, but is the last but one
        torch.testing.assert_close(higher[:3], lower[:3], rtol=0, atol=1e-12)
    torch.testing.assert_close(higher[-1], lower[-1], rtol=0, atol=1e-12)


@B
@pytest.mark.parametrize(("solver_order", "order"), [(1, 2), (2, 3), (3, 3)])
def test_the_corrector_raises_the_order_by_one(solver_order: int, order: int, solver_type: Type) -> None:
    sampler = UniPC(solver_order=solver_order, solver_type=solver_type)
    assert sampler.order == order
    found = convergence(sampler)
    assert found.reaches(order)
    last = math.log2(found.errors[-2] / found.errors[-1])
    assert last == pytest.approx(order, abs=0.25)  # order 3 begins with a step of order two, whose share grows


def test_correcting_costs_nothing(linear: Schedule) -> None:
    for solver_order in (1, 2, 3):
        assert sample(gaussian(linear), UniPC(solver_order=solver_order), steps=7, num_images=1).nfe == 7
