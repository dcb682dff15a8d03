"""Ancestral steps of Euler's method: their relation to DDIM, and radicands that rounding makes negative."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.euler_ancestral import EulerAncestral

from samplerzoo.core.parametrization import EPSILON
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing import TOLERANCE, convergence, gaussian, run

X, EPS, Z = torch.eye(3, dtype=torch.float64)


def draws() -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn(5, 1, generator=generator, dtype=torch.float64)


def one_step(sampler: EulerAncestral, schedule: Schedule, tau_t: float, tau_s: float) -> torch.Tensor:
    """Return (a, b, c) of x_s = a x_t + b eps + c z."""
    denoise = Denoiser(lambda x, t: Prediction.of(EPSILON, x, t, EPS), schedule)
    return sampler.step(X, schedule.at(tau_t), schedule.at(tau_s), denoise, lambda: Z)


@given(
    eta=st.floats(0, 1),
    spacing=st.sampled_from(["trailing", "leading", "linspace", "quadratic", "karras", "logsnr"]),
    steps=st.integers(1, 30),
)
@example(eta=1.0, spacing="logsnr", steps=300)
def test_up_to_eta_1_it_is_ddim(eta: float, spacing: str, steps: int) -> None:
    schedule = VP.from_config({})
    grid, model = schedule.grid(steps, spacing), gaussian(schedule, 0.3)
    ancestral, ddim = (run(model, s, grid, draws()) for s in (EulerAncestral(eta=eta), DDIM(eta=eta)))
    torch.testing.assert_close(ancestral, ddim, rtol=0, atol=1e-9)


@given(eta=st.floats(0, 1), tau_t=st.floats(0.1, 1000), share=st.floats(0, 0.999))
def test_noise_left_and_fresh_are_what_the_level_has(eta: float, tau_t: float, share: float) -> None:
    """Check that the variance of x = alpha x0 + sigma eps holds before and after a step, whatever eta is."""
    schedule = VP.from_config({})
    s = schedule.at(share * tau_t)
    a, b, c = one_step(EulerAncestral(eta=eta), schedule, tau_t, share * tau_t).tolist()
    t = schedule.at(tau_t)
    assert (a * t.sigma + b) ** 2 + c**2 == pytest.approx(s.sigma**2, rel=1e-6, abs=1e-12)
    assert a * t.alpha == pytest.approx(s.alpha)


def test_s_noise_scales_what_is_fresh(linear: Schedule) -> None:
    plain, more = (one_step(EulerAncestral(s_noise=s), linear, 500, 480) for s in (1.0, 1.1))
    torch.testing.assert_close(more - plain, 0.1 * plain[2] * Z)


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 50, 1000])
def test_is_finite_on_the_cosine_schedule(eta: float, spacing: str, steps: int) -> None:
    """Check the cosine schedule, where rounding makes diffusers' sigma_up exceed sigma_to."""
    schedule = VP.from_config({"beta_schedule": "squaredcos_cap_v2"})
    out = run(gaussian(schedule), EulerAncestral(eta=eta), schedule.grid(steps, spacing), lambda: draws()().float())
    assert out.isfinite().all()


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_order(eta: float) -> None:
    assert convergence(EulerAncestral(eta=eta)).order == pytest.approx(1, abs=TOLERANCE)
