"""Exact denoisers against numerical integration, and exact moments against sampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from samplerzoo_plugins.classifier_guidance import ClassifierGuidance
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM

from samplerzoo.core.condition import Condition
from samplerzoo.core.exact import consistency
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import PARAMETRIZATIONS
from samplerzoo.core.paths import VE, VP
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import conjugate, draws, gaussian, is_stochastic, mixture, moments

Density = Callable[[torch.Tensor], torch.Tensor]
X0 = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
POINTS = torch.tensor([[-2.0], [-0.1], [0.0], [0.7], [3.0]], dtype=torch.float64)


def normal(x: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    return torch.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


def posterior(prior: Density, level: Level, function: Density) -> torch.Tensor:
    """Compute E[function(x0) | x] at POINTS, by the trapezoidal rule, which is exact here since the ends are 0."""
    weight = prior(X0) * torch.exp(-((POINTS - level.alpha * X0) ** 2) / (2 * level.sigma**2))
    return (weight * function(X0)).sum(1) / weight.sum(1)


@pytest.mark.parametrize("tau", [10, 300, 999.5])
@pytest.mark.parametrize("kind", [*PARAMETRIZATIONS])
def test_the_gaussian_denoiser_is_the_posterior_mean(linear: Schedule, tau: float, kind: str) -> None:
    level = linear.at(tau)
    p = gaussian(linear, 0.4, 0.6, parametrization=PARAMETRIZATIONS[kind]).denoise(POINTS, level)
    expected = posterior(lambda x0: normal(x0, 0.4, 0.6), level, lambda x0: x0)
    torch.testing.assert_close(p.x0[:, 0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("tau", [10, 300, 999.5])
def test_the_mixture_is_the_posterior_mean_and_the_posterior_of_the_class(linear: Schedule, tau: float) -> None:
    level = linear.at(tau)
    model = mixture(linear, torch.tensor([[1.0], [-1.0]]), 0.3)
    parts = [lambda x0: normal(x0, 1.0, 0.3), lambda x0: normal(x0, -1.0, 0.3)]
    both = lambda x0: parts[0](x0) + parts[1](x0)  # noqa: E731
    for label, prior in enumerate([*parts, both]):
        p = model.denoise(POINTS, level, model.condition(torch.full((5,), label)))
        torch.testing.assert_close(p.x0[:, 0], posterior(prior, level, lambda x0: x0), rtol=0, atol=1e-10)
    assert model.classifier is not None
    probability = model.classifier(POINTS, level).softmax(1)[:, 0]
    expected = posterior(both, level, lambda x0: parts[0](x0) / both(x0).clamp(min=1e-300))
    torch.testing.assert_close(probability, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("tau", [10, 300, 999.5])
def test_the_conjugate_classifier_is_the_posterior_of_its_event(linear: Schedule, tau: float) -> None:
    level = linear.at(tau)
    model = conjugate(linear, 0.5, target=1.0, width=0.5)
    assert model.classifier is not None
    probability = model.classifier(POINTS, level).softmax(1)[:, 1]
    event = lambda x0: torch.exp(-((x0 - 1.0) ** 2) / (2 * 0.25))  # noqa: E731
    expected = posterior(lambda x0: normal(x0, 0.0, 0.5), level, event)
    torch.testing.assert_close(probability, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("high", [0.1, 14.614641, 80.0])
def test_the_top_of_a_path_may_be_no_float32_number(high: float) -> None:
    """Check tops that float32 rounds upwards, beyond the path, when a network is told them."""
    path = VE(0.01, high)
    models = [gaussian(path), consistency(path), mixture(path, torch.eye(2))]
    for model, sampler in zip(models, ("ddim", "consistency", "ddim"), strict=True):
        assert sample(model, sampler, steps=3, num_images=2).images.isfinite().all()


@pytest.mark.parametrize("sampler", [DDIM(eta=0.3), DDPM(variance="large")], ids=str)
def test_moments_are_those_of_a_run(linear: Schedule, sampler: Sampler) -> None:
    n = 20_000
    model = gaussian(linear, torch.tensor([0.3, -1.0]), torch.tensor([0.5, 0.1]), shape=(2,))
    exact = moments(model, sampler, linear.grid(10))
    images = sample(model, sampler, steps=10, num_images=n, batch_size=n).images.double()
    # five standard errors
    for i in range(2):
        std = exact.std[i].item()
        assert images[:, i].mean().item() == pytest.approx(exact.mean[i].item(), abs=5 * std / math.sqrt(n))
        assert images[:, i].std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * n))


def test_moments_of_a_guided_run_need_its_label(linear: Schedule) -> None:
    out = moments(conjugate(linear), DDIM(), linear.grid(50), guidance=ClassifierGuidance(), label=1)
    assert out.mean.item() == pytest.approx(0.5, abs=2e-3)
    assert out.std.item() == pytest.approx(math.sqrt(0.125), abs=0.03)


def test_moments_refuse_what_is_not_affine(linear: Schedule) -> None:
    """Check that a sampler that clips is refused: impulses would give wrong numbers."""

    class Clipping(DDIM):
        def step(self, x, t, s, denoise, noise):
            return super().step(x, t, s, denoise, noise).clamp(-0.5, 0.5)

    with pytest.raises(ZooError, match=r"Clipping.*is not affine"):
        moments(gaussian(linear), Clipping(), linear.grid(5))
    two = mixture(linear, torch.tensor([[1.0], [-1.0]]), 0.3)

    def net(x: torch.Tensor, tau: torch.Tensor, condition: Condition) -> torch.Tensor:
        return two.net(x, tau, two.condition(torch.full((len(x),), 2)))

    nonlinear = Model(net, linear, shape=(1,))
    with pytest.raises(ZooError, match="is not affine"):
        moments(nonlinear, DDIM(), linear.grid(5))


# -- whether a sampler draws noise


def test_draws_are_counted_after_x_T(linear: Schedule) -> None:
    grid = linear.grid(7)
    assert draws(DDPM(), grid, linear) == 6  # none to the clean level
    assert draws(DDPM(), grid, linear, steps=3) == 3
    assert draws(DDIM(), grid, linear) == 0
    assert draws(DDPM(variance="learned"), linear.grid(3)) == 2
    assert is_stochastic(DDIM(eta=0.1))
    assert not is_stochastic(DDIM())


def test_they_are_counted_at_zero_terminal_snr_too() -> None:
    schedule = VP.from_config({"rescale_betas_zero_snr": True})
    assert draws(DDPM(), schedule.grid(5), schedule) == 4


def test_a_sampler_that_takes_few_steps_is_seen_on_those() -> None:
    class Few(DDPM):
        def grid(self, schedule, steps, spacing):
            if steps > 50:
                raise UsageError("at most 50 steps")
            return super().grid(schedule, steps, spacing)

    assert draws(Few()) == 49
