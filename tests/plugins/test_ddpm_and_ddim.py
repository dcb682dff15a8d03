"""Ancestral sampler and its implicit family: how they are related, and diffusers' schedulers where these are right."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM, posterior_mean

from samplerzoo.core.condition import Condition
from samplerzoo.core.level import posterior_std, transition_variance
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Clip, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian, is_stochastic, mixture, run

SHAPE = (3, 2, 4, 4)
CLIPS = {"off": Clip("off"), "static": Clip("static", 0.8), "dynamic": Clip("dynamic", 0.8)}


@pytest.fixture(scope="module")
def model(linear: Schedule) -> Model:
    """Make a model that is not linear, with data beyond the clip's bound: a mixture at 1 and -1, spread 0.3."""
    means = torch.stack([torch.full(SHAPE[1:], 1.0), torch.full(SHAPE[1:], -1.0)])
    exact = mixture(linear, means, 0.3)
    return Model(
        lambda x, tau, _: exact.net(x, tau, exact.condition(torch.full((len(x),), 2))), linear, shape=SHAPE[1:]
    )


@pytest.fixture(scope="module")
def learned(model: Model) -> Model:
    """Make the same model with a learned variance, whose weights in (0, 1) differ from pixel to pixel."""

    def net(x: torch.Tensor, tau: torch.Tensor, condition: Condition) -> torch.Tensor:
        return torch.cat([model.net(x, tau, condition), torch.sin(3 * x)], dim=1)

    return Model(net, model.schedule, shape=model.shape)


def draws(dtype: torch.dtype = torch.float64) -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn(SHAPE, generator=generator, dtype=torch.float64).to(dtype)


# -- identities


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("spacing", ["trailing", "quadratic", "logsnr"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_ddim_at_eta_1_is_ddpm_with_the_small_variance(model: Model, clip: str, spacing: str, steps: int) -> None:
    """Check Song, Meng, Ermon 2021, section 4.1. It holds with a clip, because eps is derived from the clipped x0."""
    grid = model.schedule.grid(steps, spacing)
    ddim, ddpm = (run(model, s, grid, draws(), clip=CLIPS[clip]) for s in (DDIM(eta=1.0), DDPM()))
    torch.testing.assert_close(ddim, ddpm, rtol=0, atol=1e-9)
    if clip != "off":
        assert ddim.abs().max() <= 1.0  # it did clip


@pytest.mark.parametrize(("tau_t", "tau_s"), [(1000, 980), (500, 1), (2, 1), (1, 0), (1000, 0), (0.7, 0.2)])
def test_the_two_forms_of_the_posterior_mean(linear: Schedule, tau_t: float, tau_s: float) -> None:
    """Compare the form in x0 (Ho, Jain, Abbeel 2020, eq. 7) with that in eps (eq. 11)."""
    t, s = linear.at(tau_t), linear.at(tau_s)
    x, eps = draws()(), draws()()
    p = Prediction.of(EPSILON, x, t, eps)
    beta = transition_variance(t, s)
    in_eps = (x - beta / t.sigma * eps) * (s.alpha / t.alpha)
    torch.testing.assert_close(posterior_mean(p, t, s), in_eps, rtol=0, atol=1e-12 / t.alpha)


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_ddpm_variances_share_their_mean(linear: Schedule, steps: int) -> None:
    grid = linear.grid(steps)
    zeros = lambda: torch.zeros(1, 1, dtype=torch.float64)  # noqa: E731
    small, large = (run(gaussian(linear, 0.3), DDPM(variance=v), grid, zeros) for v in ("small", "large"))
    assert torch.equal(small, large)


@pytest.mark.parametrize(("weight", "variance"), [(0.0, "small"), (1.0, "large")])
def test_learned_variance_at_its_two_ends(linear: Schedule, weight: float, variance: str) -> None:
    plain = gaussian(linear, 0.3, shape=SHAPE[1:])

    def net(x: torch.Tensor, tau: torch.Tensor, condition: Condition) -> torch.Tensor:
        return torch.cat([plain.net(x, tau, condition), torch.full_like(x, 2 * weight - 1)], dim=1)

    model = Model(net, linear, shape=SHAPE[1:])
    for steps in (1, 2, 20):
        grid = linear.grid(steps)
        out = run(model, DDPM(variance="learned"), grid, draws())
        expected = run(plain, DDPM(variance=variance), grid, draws())
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def test_learned_variance_is_a_geometric_mean_of_the_respaced_bounds(linear: Schedule) -> None:
    """Check Nichol and Dhariwal 2021, eq. 15."""
    t, s = linear.at(500), linear.at(400)
    x = draws()()
    weight = torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    p = Prediction.of(EPSILON, x, t, x, weight)
    out = DDPM(variance="learned").step(x, t, s, lambda x, t: p, lambda: torch.ones_like(x))
    std = (weight * torch.tensor(transition_variance(t, s)).log() / 2).exp()
    std = std * posterior_std(t, s) ** (1 - weight)
    torch.testing.assert_close(out - posterior_mean(p, t, s), std)


@pytest.mark.parametrize("weight", [-0.2, 0.0, 0.5, 1.0, 1.3])
def test_learned_variance_at_the_last_step_is_finite_whatever_the_network_says(linear: Schedule, weight: float) -> None:
    """Check weights slightly outside [0, 1] at the last step, where beta-tilde is 0, with a shifted mean too."""
    t, s = linear.at(20), linear.at(0)
    x = draws()()
    p = Prediction.of(EPSILON, x, t, x, torch.full_like(x, weight)).replace(shift=torch.ones_like(x))
    out = DDPM(variance="learned").step(x, t, s, lambda x, t: p, lambda: pytest.fail("noise at the clean level"))
    torch.testing.assert_close(out, p.x0)


def test_a_learned_variance_that_is_not_there(model: Model) -> None:
    with pytest.raises(UsageError, match="no learned variance"):
        sample(model, "ddpm", variance="learned", steps=2, num_images=1)


def test_the_variance_is_by_default_the_one_that_the_model_was_trained_for(model: Model) -> None:
    trained, plan = dataclasses.replace(model, variance="large"), {"steps": 3, "num_images": 3}
    small, large = (sample(model, "ddpm", variance=variance, **plan).images for variance in ("small", "large"))
    assert not torch.equal(small, large)
    assert torch.equal(sample(model, "ddpm", **plan).images, small)
    assert torch.equal(sample(trained, "ddpm", **plan).images, large)
    assert torch.equal(sample(trained, "ddpm", variance="small", **plan).images, small)


def test_ddim_without_noise_draws_none(model: Model) -> None:
    noise: Iterator[torch.Tensor] = iter([torch.ones(SHAPE)])
    run(model, DDIM(), model.schedule.grid(5), lambda: next(noise))
    assert not is_stochastic(DDIM())
    assert is_stochastic(DDIM(eta=0.1))


@pytest.mark.parametrize("options", [{"eta": -0.1}, {"eta": 1.1}, {"eta": float("nan")}, {"beta": 1}])
def test_ddim_refuses(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"ddim.*(eta|beta)"):
        sample(gaussian(VP([0.1])), "ddim", **options)


@given(st.floats())
@example(math.nan)
@example(-0.0)
@example(1.0000000000000002)
def test_eta_is_within_its_bounds_or_refused(eta: float) -> None:
    try:
        assert 0 <= DDIM(eta=eta).eta <= 1
    except UsageError:
        assert not 0 <= eta <= 1


# -- diffusers


@pytest.mark.parametrize("clip", ["off", "static"])
@pytest.mark.parametrize("eta", [0.0, 0.6])
@pytest.mark.parametrize(("steps", "tolerance"), [(2, 1e-5), (7, 1e-5), (50, 1e-5), (1000, 1e-4)])
def test_ddim_is_diffusers_on_its_leading_grid(
    model: Model, clip: str, eta: float, steps: int, tolerance: float
) -> None:
    """Compare on the leading grid, the only one with its previous timestep. Its tables are float32."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(clip_sample=clip == "static", clip_sample_range=0.8, timestep_spacing="leading")
    noise = draws(torch.float32)

    def step(output: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        z = noise() if eta and t > 0 else torch.zeros_like(x)
        return scheduler.step(output, t, x, eta=eta, variance_noise=z, use_clipped_model_output=True).prev_sample

    theirs = drive(scheduler, step, model, steps, noise())
    ours = run(model, DDIM(eta=eta), model.schedule.grid(steps, "leading"), draws(torch.float32), clip=CLIPS[clip])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("clip", ["off", "static"])
@pytest.mark.parametrize("variance", ["small", "large", "learned"])
@pytest.mark.parametrize(("steps", "tolerance"), [(2, 1e-5), (7, 1e-5), (50, 1e-5), (1000, 1e-4)])
def test_ddpm_is_diffusers_on_its_leading_grid(
    model: Model,
    learned: Model,
    monkeypatch: pytest.MonkeyPatch,
    clip: str,
    variance: str,
    steps: int,
    tolerance: float,
) -> None:
    from diffusers import DDPMScheduler

    kind = {"small": "fixed_small", "large": "fixed_large", "learned": "learned_range"}[variance]
    scheduler = DDPMScheduler(
        variance_type=kind, clip_sample=clip == "static", clip_sample_range=0.8, timestep_spacing="leading"
    )
    noise = draws(torch.float32)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: noise())
    chosen = learned if variance == "learned" else model
    theirs = drive(scheduler, lambda *args: scheduler.step(*args).prev_sample, chosen, steps, noise())
    sampler: Sampler = DDPM(variance=variance)
    ours = run(chosen, sampler, model.schedule.grid(steps, "leading"), draws(torch.float32), clip=CLIPS[clip])
    if variance == "learned":
        tolerance = (
            1e-4  # their 1 - abar_0 has lost three of its seven digits, and the learned variance is a power of it
        )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def drive(scheduler, step, model: Model, steps: int, x: torch.Tensor) -> torch.Tensor:
    """Run a sampling loop of diffusers."""
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        x = step(model.net(x, torch.full((len(x),), float(t) + 1), Condition()), t, x)
    return x
