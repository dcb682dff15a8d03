"""The exact denoiser of given images, against closed forms, against float64, and against itself in other blocks."""

from __future__ import annotations

import math

import pytest
import torch
from samplerzoo_plugins.classifier_guidance import ClassifierGuidance
from torch import Tensor

from samplerzoo.core import empirical as module
from samplerzoo.core.empirical import Images, empirical
from samplerzoo.core.exact import gaussian, mixture
from samplerzoo.core.level import Level
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.core.schedule import Schedule

PATHS = [*NAMED_PATHS]


def level_at(path: str, log_snr: float) -> Level:
    return NAMED_PATHS[path]().at_log_snr(log_snr)


def pictures(count: int, *shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(count, *shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def posterior_mean(x: Tensor, images: Tensor, t: Level, bandwidth: float) -> Tensor:
    """Sum over the images as the formula reads, in float64."""
    x, images = x.double(), images.double()
    v = (t.alpha * bandwidth) ** 2 + t.sigma**2
    weights = (-(x[:, None] - t.alpha * images).flatten(2).square().sum(2) / (2 * v)).softmax(1)
    mean = torch.einsum("nm,m...->n...", weights, images)
    return mean + t.alpha * bandwidth**2 / v * (x - t.alpha * mean)


@pytest.mark.parametrize("path", PATHS)
def test_one_image_is_always_the_answer(path: str) -> None:
    image = pictures(1, 1, 3, 3)
    for log_snr in (-6.0, 0.0, 8.0):
        t = level_at(path, log_snr)
        found = Images(image).denoise(pictures(4, 1, 3, 3, seed=1), t)
        torch.testing.assert_close(found, image.expand(4, -1, -1, -1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("path", PATHS)
def test_one_widened_image_is_a_gaussian(path: str) -> None:
    image, schedule = pictures(1, 1, 3, 3), NAMED_PATHS[path]()
    known = gaussian(schedule, image[0], 0.3, shape=(1, 3, 3), parametrization=module.SAMPLE)
    model = empirical(schedule, image, bandwidth=0.3)
    for log_snr in (-6.0, 0.0, 8.0):
        t, x = level_at(path, log_snr), pictures(4, 1, 3, 3, seed=1)
        torch.testing.assert_close(model.denoise(x, t).x0, known.denoise(x, t).x0, rtol=1e-9, atol=1e-9)


def test_two_images_are_told_apart_by_a_hyperbolic_tangent(linear: Schedule) -> None:
    images = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    for tau in (50, 400, 900):
        t = linear.at(tau)
        expected = torch.tanh(t.alpha * x / t.sigma**2)
        torch.testing.assert_close(Images(images).denoise(x, t), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("bandwidth", [0.0, 0.2])
@pytest.mark.parametrize("path", PATHS)
def test_many_images_in_float64(path: str, bandwidth: float) -> None:
    images, x = pictures(40, 3, 2, 2), pictures(6, 3, 2, 2, seed=1)
    for log_snr in (-8.0, -2.0, 1.0, 6.0):
        t = level_at(path, log_snr)
        found = Images(images, bandwidth=bandwidth).denoise(x, t)
        torch.testing.assert_close(found, posterior_mean(x, images, t, bandwidth), rtol=0, atol=1e-11)


def test_8_bits_stand_for_minus_one_to_one(linear: Schedule) -> None:
    pixels = torch.randint(0, 256, (9, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x, t = pictures(3, 1, 4, 4, dtype=torch.float32), linear.at(300)
    torch.testing.assert_close(
        Images(pixels).denoise(x, t), Images(pixels.float() / 127.5 - 1).denoise(x, t), rtol=0, atol=0
    )


@pytest.mark.parametrize("block", [1, 7, 64, 129])
def test_blocks_are_equal_to_the_whole(monkeypatch: pytest.MonkeyPatch, linear: Schedule, block: int) -> None:
    images, x = pictures(23, 1, 4, 4), pictures(5, 1, 4, 4, seed=1)
    labels = torch.tensor([0, 1, 2, 3, 1])
    for tau in (30, 400, 990):
        t = linear.at(tau)
        whole = Images(images, [4, 12, 7], 0.1)
        expected = whole.denoise(x, t, labels), whole.log_evidence(x, t)
        with monkeypatch.context() as patch:
            patch.setattr(module, "BLOCK", block)
            parts = Images(images, [4, 12, 7], 0.1)
            found = parts.denoise(x, t, labels), parts.log_evidence(x, t)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_classes_are_those_of_a_mixture_with_a_component_an_image(linear: Schedule) -> None:
    means = pictures(4, 2, 2, 2)
    known, model = mixture(linear, means, 0.4), empirical(linear, means, [1, 1, 1, 1], 0.4)
    x, labels = pictures(5, 2, 2, 2, seed=1), torch.tensor([0, 3, 4, 2, 4])
    assert (model.num_classes, model.null_label, model.classifier_classes) == (4, 4, 4)
    for tau in (20, 300, 900):
        t = linear.at(tau)
        found, expected = (m.denoise(x, t, m.condition(labels)) for m in (model, known))
        torch.testing.assert_close(found.x0, expected.x0, rtol=0, atol=1e-9)
        assert model.classifier is not None
        assert known.classifier is not None
        logits = model.classifier(x, t).log_softmax(1), known.classifier(x, t).log_softmax(1)
        torch.testing.assert_close(*logits, rtol=0, atol=1e-9)
        guided = [
            ClassifierGuidance(scale=2.0).guide(m.denoise, m.condition(labels % 4), m)(x, t).x0 for m in (model, known)
        ]
        torch.testing.assert_close(*guided, rtol=0, atol=1e-8)


def test_the_classifier_knows_how_many_images_a_class_has(linear: Schedule) -> None:
    """Far from all images, where the state says nothing, a class is as probable as it is frequent."""
    model = empirical(linear, pictures(10, 1), [1, 2, 7])
    assert model.classifier is not None
    found = model.classifier(torch.zeros(1, 1, dtype=torch.float64), linear.at(1000)).softmax(1)
    torch.testing.assert_close(found, torch.tensor([[0.1, 0.2, 0.7]]).double(), rtol=0, atol=1e-3)


def test_the_gradient_of_the_classifier_is_that_of_its_values(linear: Schedule) -> None:
    images = Images(pictures(12, 1, 2, 2), [5, 7], 0.1)
    x = pictures(3, 1, 2, 2, seed=1).requires_grad_()
    t = linear.at(300)
    assert torch.autograd.gradcheck(lambda x: images.log_evidence(x, t).log_softmax(1), (x,))


def near_twins(size: int = 28) -> tuple[Tensor, Tensor]:
    """Images in pairs that differ in a few pixels, and clean states halfway between the two of a pair."""
    first = torch.randint(0, 2, (30, 1, size, size), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    second = first.clone()
    second[:, :, 0, :3] += 0.02
    return torch.cat([first, second]), (first + second) / 2


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.1, 0.25, 0.3, 1.0])
def test_float32_is_right_at_any_noise(sigma: float) -> None:
    """Among near twins both weights count, and a rounding of the distance, divided by sigma^2, would decide."""
    images, middle = near_twins()
    t = NAMED_PATHS["ve"]().at(sigma)
    x = middle + sigma * pictures(30, 1, 28, 28, dtype=torch.float32)
    found = Images(images).denoise(x, t)
    torch.testing.assert_close(found, posterior_mean(x, images, t, 0.0).float(), rtol=0, atol=1e-5)


def test_float32_alone_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    images, middle = near_twins()
    t = NAMED_PATHS["ve"]().at(0.01)
    x = middle + 0.01 * pictures(30, 1, 28, 28, dtype=torch.float32)
    monkeypatch.setattr(module, "CANCELS", 0.0)
    error = (Images(images).denoise(x, t) - posterior_mean(x, images, t, 0.0)).abs().max()
    assert error > 1e-3


def test_log_evidence_in_float32_near_an_image(linear: Schedule) -> None:
    """Check that classes are told apart where their evidences are huge and nearly the same."""
    images = torch.stack([torch.ones(1, 8, 8), torch.ones(1, 8, 8)])
    images[1, 0, 0, 0] = 0.99
    t = linear.at(1)
    x = t.alpha * images[:1]
    found = Images(images, [1, 1]).log_evidence(x, t).softmax(1)
    ratio = math.exp(-((t.alpha * 0.01) ** 2) / (2 * t.sigma**2))
    torch.testing.assert_close(found, torch.tensor([[1 / (1 + ratio), ratio / (1 + ratio)]]), rtol=0, atol=1e-4)
