from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
import torch
from samplerzoo_plugins.classifier_guidance import ClassifierGuidance
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM

from samplerzoo.core.model import Model
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import conjugate, gaussian, mixture, moments

Form = Literal["score", "mean"]


@pytest.fixture(scope="module")
def conditional(linear: Schedule) -> Model:
    """Make a model of three components in the plane, with labels 0 to 2, null label 3 and an exact classifier."""
    return mixture(linear, torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]]), 0.3)


@pytest.mark.parametrize("tau", [1, 30, 400, 1000])
def test_scale_1_is_bayes(conditional: Model, tau: int) -> None:
    """Check that the unconditional score and the gradient of log p(y | x) sum to the conditional score."""
    condition, t = conditional.condition([2, 0, 1, 0]), conditional.schedule.at(tau)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    guided = ClassifierGuidance().guide(conditional.denoise, condition, conditional)(x, t)
    torch.testing.assert_close(guided.eps, conditional.denoise(x, t, condition).eps, rtol=1e-10, atol=1e-10)


def test_scale_multiplies_the_gradient(conditional: Model) -> None:
    condition, t = conditional.condition([2, 0]), conditional.schedule.at(400)
    x = torch.randn(2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    none, once, thrice = (
        ClassifierGuidance(scale=scale).guide(conditional.denoise, condition, conditional)(x, t) for scale in (0, 1, 3)
    )
    torch.testing.assert_close(thrice.eps - none.eps, 3 * (once.eps - none.eps))


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_temperature_divides_the_logits(linear: Schedule, temperature: float) -> None:
    """Compare with the closed form: for classes at -1 and 1 logits differ by 2 alpha x / (alpha^2 c^2 + sigma^2)."""
    model, t = mixture(linear, torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 0.3), linear.at(400)
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    guided = ClassifierGuidance(temperature=temperature).guide(model.denoise, model.condition([1] * 5), model)(x, t)
    slope = 2 * t.alpha / (t.alpha**2 * 0.3**2 + t.sigma**2) / temperature  # of the difference of the logits, in x
    gradient = slope * torch.sigmoid(-slope * x)
    unguided = model.denoise(x, t, model.condition([2] * 5))
    torch.testing.assert_close(guided.eps, unguided.eps - t.sigma * gradient, rtol=1e-12, atol=1e-12)


# Output mean and standard deviation on the conjugate Gaussian, where the truth is 0.500 and 0.354; computed elsewhere.
PUBLISHED: list[tuple[Sampler, Form, str, dict[int, tuple[float, float]]]] = [
    (DDPM(), "mean", "leading", {10: (0.131, 0.317), 50: (0.371, 0.355), 250: (0.469, 0.355)}),
    (DDPM(variance="large"), "mean", "leading", {10: (0.445, 0.475), 50: (0.489, 0.377), 250: (0.498, 0.358)}),
    (DDPM(variance="large"), "mean", "trailing", {10: (0.445, 0.349), 50: (0.489, 0.369), 250: (0.498, 0.357)}),
    (DDIM(), "score", "leading", {10: (0.498, 0.239), 50: (0.499, 0.328), 250: (0.499, 0.348), 1000: (0.499, 0.352)}),
    (DDIM(eta=1.0), "score", "leading", {10: (0.500, 0.215), 50: (0.500, 0.304), 250: (0.500, 0.340)}),
]


@pytest.mark.parametrize(
    ("sampler", "form", "spacing", "steps", "expected"),
    [(*head, steps, expected) for *head, row in PUBLISHED for steps, expected in row.items()],
)
def test_published_moments_on_the_conjugate_gaussian(
    linear: Schedule, sampler: Sampler, form: Form, spacing: str, steps: int, expected: tuple[float, float]
) -> None:
    grid = linear.grid(steps, spacing)
    out = moments(conjugate(linear), sampler, grid, guidance=ClassifierGuidance(form=form), label=1)
    assert (out.mean.item(), out.std.item()) == pytest.approx(expected, abs=0.6e-3)  # three digits, some rounded twice


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("steps", [1, 5, 50])
def test_the_score_form_is_the_posterior_denoiser(linear: Schedule, scale: float, steps: int) -> None:
    """Compare with the posterior, which scale 1 reaches at any number of steps, and no other scale does."""
    posterior = gaussian(linear, 0.5, 0.125**0.5)
    grid = linear.grid(steps)
    guided = moments(conjugate(linear), DDIM(eta=0.5), grid, guidance=ClassifierGuidance(scale=scale), label=1)
    exact = moments(posterior, DDIM(eta=0.5), grid)
    assert (guided.mean.item() == pytest.approx(exact.mean.item(), abs=1e-9)) == (scale == 1)
    assert (guided.std.item() == pytest.approx(exact.std.item(), abs=1e-9)) == (scale == 1)


# -- in a run


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "reverse-sde", "reverse-diffusion", "probability-flow"])
def test_scale_0_is_unguided_bit_for_bit_and_costs_nothing(linear: Schedule, sampler: str) -> None:
    model = conjugate(linear)
    guided = sample(model, sampler, guidance="classifier", guidance_scale=0.0, labels=[1, 0, 1], steps=5)
    plain = sample(model, sampler, num_images=3, steps=5)
    assert torch.equal(guided.images, plain.images)
    assert guided.cost == plain.cost


def test_scale_0_of_a_conditional_model_is_its_null_label(conditional: Model) -> None:
    guided = sample(conditional, "ddim", guidance="classifier", guidance_scale=0.0, labels=[0, 1], steps=5)
    null = sample(conditional, "ddim", guidance="cfg", guidance_scale=0.0, labels=[0, 1], steps=5)
    assert torch.equal(guided.images, null.images)


def test_gradients_are_counted_apart(linear: Schedule) -> None:
    cost = sample(conjugate(linear), "ddim", guidance="classifier", labels=[1] * 7, batch_size=3, steps=5).cost
    assert (cost.calls_per_image, cost.nfe, cost.gradients_per_image) == (5, 5, 5)


def test_guided_images_know_nothing_of_each_other(conditional: Model) -> None:
    together = sample(conditional, "ddpm", guidance="classifier", labels=[0, 1, 2], steps=5)
    apart = sample(conditional, "ddpm", guidance="classifier", labels=[0, 1, 2], steps=5, batch_size=1)
    torch.testing.assert_close(together.images, apart.images, rtol=0, atol=1e-5)  # float32, five steps


def test_the_mean_form_reaches_ddpm_through_a_clip(conditional: Model) -> None:
    run = {"guidance": "classifier", "labels": [0] * 8, "steps": 50, "clip_x0": "static:3"}
    pulled, plain = (sample(conditional, "ddpm", guidance_form="mean", guidance_scale=s, **run) for s in (3.0, 0.0))
    assert pulled.images[:, 0].mean() > plain.images[:, 0].mean() + 0.3


def test_the_mean_form_needs_the_ancestral_sampler(linear: Schedule) -> None:
    with pytest.raises(UsageError, match="--guidance-form score, or --sampler ddpm"):
        sample(conjugate(linear), "ddim", guidance="classifier", guidance_form="mean", labels=[1], steps=2)


def test_a_model_without_a_classifier_is_refused(linear: Schedule) -> None:
    with pytest.raises(UsageError, match="train-classifier"):
        sample(dataclasses.replace(conjugate(linear), classifier=None), "ddim", guidance="classifier", labels=[1])


def test_a_conditional_model_without_a_null_label_is_refused(conditional: Model) -> None:
    with pytest.raises(UsageError, match="no null label"):
        sample(dataclasses.replace(conditional, null_label=None), "ddim", guidance="classifier", labels=[1])
