from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance

from samplerzoo.core.condition import Condition
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import PARAMETRIZATIONS
from samplerzoo.core.prediction import Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import mixture

MEANS = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])


@pytest.fixture(scope="module")
def model(linear: Schedule) -> Model:
    """Make a model with the classes 0 to 2 and the null label 3."""
    return mixture(linear, MEANS, 0.3)


def constant(model: Model, label: int) -> Model:
    """Make an unconditional model of one label."""
    return dataclasses.replace(
        model,
        net=lambda x, tau, _: model.net(x, tau, model.condition(torch.full((len(x),), label))),
        num_classes=None,
        null_label=None,
    )


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("what", ["eps", "x0", "v"])
def test_the_formula(model: Model, scale: float, what: str) -> None:
    """Check the formula in eps, x0 and v: weights that sum to 1 make it the same. Each image has its own label."""
    condition, t = model.condition([2, 0, 1, 0]), model.schedule.at(400)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    guided = ClassifierFreeGuidance(scale=scale).guide(model.denoise, condition, model)(x, t)
    c, u = model.denoise(x, t, condition), model.denoise(x, t, model.condition([3] * 4))
    expected = getattr(u, what) + scale * (getattr(c, what) - getattr(u, what))
    torch.testing.assert_close(getattr(guided, what), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "reverse-sde"])
@pytest.mark.parametrize(("scale", "label"), [(1.0, 1), (0.0, 3)])
def test_1_is_conditional_and_0_unconditional_at_one_evaluation(
    model: Model, sampler: str, scale: float, label: int
) -> None:
    plan = {"steps": 5, "num_images": 4, "seed": 3}
    guided = sample(model, sampler, guidance="cfg", guidance_scale=scale, labels=[1] * 4, **plan)
    plain = sample(constant(model, label), sampler, **plan)
    assert torch.equal(guided.images, plain.images)
    assert guided.cost == plain.cost
    assert guided.nfe == 5


def test_guided_is_two_evaluations_in_one_call(model: Model) -> None:
    cost = sample(model, "ddim", guidance="cfg", guidance_scale=2.0, steps=5, num_images=7, batch_size=3).cost
    assert (cost.calls_per_image, cost.nfe, cost.gradients) == (5, 10, 0)


def test_guidance_moves_away_from_the_other_classes(model: Model) -> None:
    def towards(scale: float) -> float:
        result = sample(model, "ddim", guidance="cfg", guidance_scale=scale, labels=[0] * 64, steps=20)
        return result.images[:, 0].mean().item()

    assert towards(0.0) < towards(1.0) < towards(3.0)
    assert towards(1.0) == pytest.approx(1.0, abs=0.15)  # the class's own mean, within 3 standard errors and the steps'


def test_a_learned_variance_is_the_conditional_one(model: Model) -> None:
    def net(x: torch.Tensor, tau: torch.Tensor, condition: Condition) -> torch.Tensor:
        labels = condition.inputs["class_labels"]
        return torch.cat([model.net(x, tau, condition), labels[:, None].to(x).expand_as(x)], dim=1)

    both = dataclasses.replace(model, net=net)
    guided = ClassifierFreeGuidance(scale=2.0).guide(both.denoise, both.condition([0, 1]), both)
    p = guided(torch.zeros(2, 2), model.schedule.at(400))
    assert p.variance is not None
    assert p.variance.tolist() == [[0.5, 0.5], [1.0, 1.0]]
    assert p.eps.shape == (2, 2)


# -- rescaled


def rescaled(model: Model, rescale: float, scale: float = 5.0) -> Prediction:
    """Guide four images, each with its own label, with a rescale."""
    x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    guidance = ClassifierFreeGuidance(scale=scale, rescale=rescale)
    return guidance.guide(model.denoise, model.condition([2, 0, 1, 0]), model)(x, model.schedule.at(400))


@pytest.fixture(scope="module")
def pictures(linear: Schedule) -> Model:
    """Make a model of three classes of 2x2 pixels in three channels."""
    return mixture(linear, torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(1)).double(), 0.3)


def test_rescale_1_has_the_standard_deviation_of_the_conditional_v(pictures: Model) -> None:
    """Compare the deviation of each image, over channels and pixels."""
    plain, full, conditional = (rescaled(pictures, *how) for how in ((0.0,), (1.0,), (0.0, 1.0)))
    std = conditional.v.flatten(1).std(1)
    torch.testing.assert_close(full.v.flatten(1).std(1), std, rtol=1e-12, atol=0)
    assert (plain.v.flatten(1).std(1) / std - 1).abs().min() > 0.01


def test_rescale_over_all_channels_and_pixels_of_an_image(linear: Schedule) -> None:
    """Compute eq. 14 to 16 of Lin et al. 2024 by hand, at scale 2: the guided v is 2 c - u.

    Image 0 has the variances 5 and 17. In each of its channels alone both are 1, which would leave it as it is. Image 1
    has 1 and 4. Over both images together, there would be one factor.
    """
    c = torch.tensor([[[[1.0, 3.0]], [[5.0, 7.0]]], [[[0.0, 0.0]], [[2.0, 2.0]]]], dtype=torch.float64)
    u = torch.tensor([[[[1.0, 3.0]], [[1.0, 3.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]], dtype=torch.float64)
    answers = torch.cat([c, u])  # by label; image i is of class i, and its null answer is u[i]

    def net(x: torch.Tensor, tau: torch.Tensor, condition: Condition) -> torch.Tensor:
        labels = condition.inputs["class_labels"]
        return answers[torch.where(labels == 2, torch.arange(len(x)) % 2 + 2, labels)]

    model = Model(net, linear, PARAMETRIZATIONS["v_prediction"], shape=(2, 1, 2), num_classes=2, null_label=2)
    guidance = ClassifierFreeGuidance(scale=2.0, rescale=0.6)
    p = guidance.guide(model.denoise, model.condition([0, 1]), model)(torch.zeros_like(c), linear.at(400))
    guided = torch.tensor([[[[1.0, 3.0]], [[9.0, 11.0]]], [[[0.0, 0.0]], [[4.0, 4.0]]]], dtype=torch.float64)
    factors = torch.tensor([0.6 * math.sqrt(5 / 17) + 0.4, 0.6 / 2 + 0.4], dtype=torch.float64)
    torch.testing.assert_close(p.v, factors[:, None, None, None] * guided, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rescale", [0.25, 0.7])
def test_rescale_in_between_is_a_mean_of_the_two(pictures: Model, rescale: float) -> None:
    plain, part, full = (rescaled(pictures, how) for how in (0.0, rescale, 1.0))
    torch.testing.assert_close(part.v, rescale * full.v + (1 - rescale) * plain.v, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(part.level.alpha * part.x0 + part.level.sigma * part.eps, part.x, rtol=1e-12, atol=1e-12)


def test_rescale_of_the_scales_that_are_one_prediction_is_nothing(pictures: Model) -> None:
    for scale in (0.0, 1.0):
        assert torch.equal(rescaled(pictures, 1.0, scale).eps, rescaled(pictures, 0.0, scale).eps)


def test_rescale_is_of_one_quantity_whatever_the_network_predicts(linear: Schedule, pictures: Model) -> None:
    means = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    expected = rescaled(pictures, 0.7).eps
    for kind in ("sample", "v_prediction"):
        found = rescaled(mixture(linear, means, 0.3, parametrization=PARAMETRIZATIONS[kind]), 0.7).eps
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_rescale_knows_nothing_of_the_batch(pictures: Model) -> None:
    plan = {"guidance": "cfg", "guidance_scale": 4.0, "guidance_rescale": 0.7, "labels": [0, 1, 2], "steps": 4}
    together, apart = (sample(pictures, "ddpm", batch_size=size, **plan).images for size in (3, 1))
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)  # float32, four steps


def test_rescale_of_an_image_without_contrast_leaves_it(linear: Schedule) -> None:
    """Check an image of a single value: it has no deviation, and 0 / 0 would be NaN."""
    plan = {"guidance": "cfg", "guidance_scale": 2.0, "labels": [0, 1], "steps": 3}
    model = mixture(linear, torch.tensor([[1.0], [-1.0]]))
    found, plain = sample(model, "ddim", guidance_rescale=1.0, **plan), sample(model, "ddim", **plan)
    torch.testing.assert_close(found.images, plain.images)


def test_a_model_without_a_null_label_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match=r"needs a null label, .*nothing says .*; .*--null-label: .*--label-dropout"):
        sample(dataclasses.replace(model, null_label=None), "ddim", guidance="cfg", num_images=1)


@pytest.mark.parametrize("scale", [-1.0, float("inf"), float("nan")])
def test_impossible_scales(model: Model, scale: float) -> None:
    with pytest.raises(UsageError, match="scale"):
        sample(model, "ddim", guidance="cfg", guidance_scale=scale, num_images=1)


def test_more_channels_than_there_are_cannot_be_guided(model: Model) -> None:
    with pytest.raises(UsageError, match=r"--guidance-channels 5: .* has 2"):
        sample(model, "ddim", guidance="cfg", guidance_scale=2.0, guidance_channels=5, steps=1, num_images=1)
