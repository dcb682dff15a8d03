"""Prediction seen as eps, x0, v and score, and the clip that keeps them consistent."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from samplerzoo_plugins.architectures.betas import Betas
from samplerzoo_plugins.architectures.unet2d import UNet2D

from samplerzoo.core.architecture import NetworkFacts
from samplerzoo.core.condition import Condition
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import PARAMETRIZATIONS
from samplerzoo.core.prediction import Clip, Denoiser, Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError

VP = Level(tau=300.0, alpha=0.8, sigma=0.6, dalpha=-0.004, dsigma=0.016 / 3)
VE = Level(tau=3.0, alpha=1.0, sigma=3.0, dalpha=0.0, dsigma=1.0)
FLOW = Level(tau=0.3, alpha=0.7, sigma=0.3, dalpha=-1.0, dsigma=1.0)
OUTPUTS = {
    "epsilon": lambda level, x0, eps: eps,
    "sample": lambda level, x0, eps: x0,
    "v_prediction": lambda level, x0, eps: level.alpha * eps - level.sigma * x0,
    "flow": lambda level, x0, eps: eps - x0,
    "score": lambda level, x0, eps: -eps / level.sigma,
    "edm": lambda level, x0, eps: (
        (level.sigma / 0.5 * x0 - 0.5 * level.alpha * eps) / math.hypot(level.sigma, 0.5 * level.alpha)
    ),
}
"""Outputs of perfect networks, by the formulas of the papers: that of Karras et al. 2022 is of its table 1."""


@pytest.fixture
def truth() -> tuple[torch.Tensor, torch.Tensor]:
    """Make x0 and eps, (2, 3, 2, 2) float64."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 2, 3, 2, 2, generator=generator, dtype=torch.float64))


def predict(kind: str, level: Level, x0: torch.Tensor, eps: torch.Tensor, **more: torch.Tensor) -> Prediction:
    x = level.alpha * x0 + level.sigma * eps
    return Prediction.of(PARAMETRIZATIONS[kind], x, level, OUTPUTS[kind](level, x0, eps), **more)


@pytest.mark.parametrize("level", [VP, VE, FLOW], ids=["vp", "ve", "flow"])
@pytest.mark.parametrize("kind", PARAMETRIZATIONS)
def test_every_kind_of_network_says_the_same(kind: str, level: Level, truth: tuple[torch.Tensor, torch.Tensor]) -> None:
    x0, eps = truth
    p = predict(kind, level, x0, eps)
    torch.testing.assert_close(p.x0, x0)
    torch.testing.assert_close(p.eps, eps)
    torch.testing.assert_close(p.v, level.alpha * eps - level.sigma * x0)
    torch.testing.assert_close(p.score, -eps / level.sigma)
    torch.testing.assert_close(level.alpha * p.x0 + level.sigma * p.eps, p.x)
    torch.testing.assert_close(PARAMETRIZATIONS[kind].target(x0, eps, level), OUTPUTS[kind](level, x0, eps))


@pytest.mark.parametrize("what", ["eps", "x0"])
def test_replacing_one_derives_the_other(what: str, truth: tuple[torch.Tensor, torch.Tensor]) -> None:
    weight = torch.rand(2, 3, 2, 2, dtype=torch.float64)
    p = predict("epsilon", VP, *truth, variance=weight).replace(shift=weight)
    q = p.replace(**{what: torch.ones_like(p.x)})
    torch.testing.assert_close(getattr(q, what), torch.ones_like(p.x))
    torch.testing.assert_close(VP.alpha * q.x0 + VP.sigma * q.eps, p.x)
    assert q.variance is weight
    assert q.shift is weight
    assert p.replace(shift=-weight).eps is p.eps


def test_replacing_both_is_a_mistake(truth: tuple[torch.Tensor, torch.Tensor]) -> None:
    p = predict("epsilon", VP, *truth)
    with pytest.raises(TypeError, match="follow from each other"):
        p.replace(eps=p.eps, x0=p.x0)


def test_a_prediction_cannot_be_changed(truth: tuple[torch.Tensor, torch.Tensor]) -> None:
    p = predict("epsilon", VP, *truth)
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.eps = p.x0


def test_chunk_splits_all_that_is_there(truth: tuple[torch.Tensor, torch.Tensor]) -> None:
    weight = torch.rand(2, 3, 2, 2, dtype=torch.float64)
    first, second = predict("sample", VP, *truth, variance=weight).chunk(2)
    assert torch.equal(torch.cat([first.x0, second.x0]), truth[0])
    assert torch.equal(torch.cat([first.variance, second.variance]), weight)
    assert first.shift is None
    assert first.level is VP
    assert first.x.shape == (1, 3, 2, 2)


def test_the_clean_level_has_nothing_to_denoise(linear: Schedule) -> None:
    denoise = Denoiser(lambda x, t: pytest.fail("called"), linear)
    with pytest.raises(ValueError, match="clean level"):
        denoise(torch.zeros(1), linear.at(0))


# -- clip


def clipped(mode: str, *x0: float) -> Prediction:
    """Clip x0 as a batch of one image."""
    clean = torch.tensor([x0], dtype=torch.float64)
    return Clip.parse(mode)(predict("sample", VP, clean, torch.zeros_like(clean)))


def test_off_is_the_very_same_prediction(truth: tuple[torch.Tensor, torch.Tensor]) -> None:
    p = predict("epsilon", VP, *truth)
    assert Clip("off")(p) is p


def test_static_clips_and_derives_eps_again() -> None:
    p = clipped("static", -3.0, 0.5, 2.0)
    assert p.x0.tolist() == [[-1.0, 0.5, 1.0]]
    torch.testing.assert_close(VP.alpha * p.x0 + VP.sigma * p.eps, p.x)
    assert clipped("static:2.5", -3.0, 0.5, 2.0).x0.tolist() == [[-2.5, 0.5, 2.0]]


def test_dynamic_clips_at_the_images_own_quantile_and_divides() -> None:
    """Check Saharia et al. 2022, section 2.3."""
    assert clipped("dynamic:1", -4.0, 1.0, 2.0).x0.tolist() == [[-1.0, 0.25, 0.5]]
    assert clipped("dynamic:0.5", -4.0, 1.0, 2.0).x0.tolist() == [[-1.0, 0.5, 1.0]]


def test_dynamic_may_have_a_largest_bound() -> None:
    """Check that an image is clamped to it and divided by it, as diffusers does with sample_max_value."""
    assert clipped("dynamic:1:2", -4.0, 1.0, 2.0).x0.tolist() == [[-1.0, 0.5, 1.0]]
    assert clipped("dynamic:1:5", -4.0, 1.0, 2.0).x0.tolist() == [[-1.0, 0.25, 0.5]]
    assert clipped("dynamic:1:1", -4.0, 0.5, 2.0).x0.tolist() == [[-1.0, 0.5, 1.0]]


def test_dynamic_leaves_an_image_within_bounds_alone() -> None:
    assert clipped("dynamic", -0.9, 0.25, 1.0).x0.tolist() == [[-0.9, 0.25, 1.0]]


def test_dynamic_does_not_mix_images() -> None:
    x0 = torch.stack([torch.full((1, 2, 2), 5.0), torch.full((1, 2, 2), 0.5)])
    p = Clip.parse("dynamic")(predict("sample", VP, x0, torch.zeros_like(x0)))
    assert p.x0.unique().tolist() == [0.5, 1.0]


def test_clipping_keeps_variance_and_shift(truth: tuple[torch.Tensor, torch.Tensor]) -> None:
    p = predict("epsilon", VP, *truth, variance=truth[0]).replace(shift=truth[1])
    for mode in ("static:0.1", "dynamic"):
        q = Clip.parse(mode)(p)
        assert q.variance is p.variance
        assert q.shift is p.shift


@pytest.mark.parametrize(
    ("text", "clip"),
    [
        ("off", Clip("off")),
        ("static", Clip("static", 1.0)),
        ("static:1.5", Clip("static", 1.5)),
        ("dynamic", Clip("dynamic", 0.995)),
        ("dynamic:0.9", Clip("dynamic", 0.9)),
        ("dynamic:0.995:1.5", Clip("dynamic", 0.995, 1.5)),
        ("dynamic:0.9:inf", Clip("dynamic", 0.9)),
    ],
)
def test_parse_and_back(text: str, clip: Clip) -> None:
    assert Clip.parse(text) == clip
    assert Clip.parse(str(clip)) == clip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "on",
        "off:1",
        "static:x",
        "static:0",
        "static:-1",
        "static:nan",
        "static:inf",
        "static:1:2",
        "dynamic:1.01",
        "dynamic:0",
        "dynamic:0.9:x",
        "dynamic:0.9:0",
        "dynamic:0.9:nan",
        "dynamic:0.9:1:1",
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="clip-x0"):
        Clip.parse(text)


# -- the U-Net adapter


def model_of(unet: torch.nn.Module, schedule: Schedule) -> Model:
    """Make a class-conditional model as the architectures read it: a UNet2DModel and a scheduler with betas."""
    path = Betas().path({"_class_name": "DDPMScheduler"}, NetworkFacts(shape=(1, 8, 8), channels=1))
    return Model(UNet2D().call(unet), schedule, path.parametrization, shape=(1, 8, 8), num_classes=5)


@pytest.mark.parametrize("tau", [1.0, 500.0, 500.5, 1000.0])
def test_the_network_gets_diffusers_timestep_as_a_float(linear: Schedule, tau: float) -> None:
    """Check that the time is a tensor: UNet2DModel cuts a Python float down to an integer."""
    seen = []

    class UNet(torch.nn.Module):
        config = SimpleNamespace(time_embedding_type="positional")

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))

        def forward(self, x: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor | None) -> object:
            seen.append((x.dtype, timestep, class_labels))
            return type("Output", (), {"sample": x})

    x, labels = torch.zeros(2, 1, 8, 8), torch.tensor([3, 4])
    model = model_of(UNet(), linear)
    out = model.denoise(x, linear.at(tau), model.condition(labels)).eps
    [(dtype, timestep, given)] = seen
    assert (out.dtype, dtype) == (torch.float32, torch.bfloat16)
    assert timestep.is_floating_point()
    assert timestep.tolist() == [tau - 1] * 2
    assert given is labels


def test_a_real_unet_tells_fractional_times_apart(tiny_unet, linear: Schedule) -> None:
    model = model_of(tiny_unet(), linear)
    x = torch.ones(1, 1, 8, 8)
    with torch.no_grad():
        outputs = [model.denoise(x, linear.at(tau), Condition()).eps for tau in (10.0, 10.5, 11.0)]
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])
    direct = tiny_unet()(x, torch.tensor([9])).sample
    torch.testing.assert_close(outputs[0], direct)
