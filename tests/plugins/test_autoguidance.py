"""Autoguidance on Gaussians, where both models and what they make together are known."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import folders
import pytest
import torch
from samplerzoo_plugins.autoguidance import Autoguidance
from samplerzoo_plugins.ddim import DDIM

from samplerzoo.core.model import Model
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.models.load import ModelFolder, load
from samplerzoo.models.options import ReadingOptions
from samplerzoo.models.second import as_second
from samplerzoo.sampling.plan import make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian, mixture, moments

MEAN, STD, WIDER = 0.5, 0.5, 1.0


@pytest.fixture(scope="module")
def model(linear: Schedule) -> Model:
    """Make a model of N(0.5, 0.5^2), with a second model of a wider Gaussian."""
    return dataclasses.replace(gaussian(linear, MEAN, STD), second=gaussian(linear, MEAN, WIDER))


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_eps_in_closed_form(model: Model, scale: float) -> None:
    t = model.schedule.at(400)
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    found = Autoguidance(scale=scale).guide(model.denoise, model.condition(None), model)(x, t)
    good, bad = (1 / (t.alpha**2 * std**2 + t.sigma**2) for std in (STD, WIDER))
    expected = t.sigma * (x - t.alpha * MEAN) * (good + (scale - 1) * (good - bad))
    torch.testing.assert_close(found.eps, expected, rtol=1e-12, atol=1e-12)


def test_it_pulls_together_what_the_second_model_spreads(model: Model, linear: Schedule) -> None:
    unguided, guided = (
        moments(model, DDIM(), linear.grid(50), guidance=Autoguidance(scale=scale), label=0) for scale in (1.0, 2.0)
    )
    assert guided.std < unguided.std - 0.05
    assert guided.mean.item() == pytest.approx(unguided.mean.item(), abs=0.02)  # both are about right


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_same_model_twice_is_unguided(linear: Schedule, scale: float) -> None:
    twice = dataclasses.replace(gaussian(linear), second=gaussian(linear))
    guided = sample(twice, "ddpm", guidance="autoguidance", guidance_scale=scale, num_images=3, steps=5)
    assert torch.equal(guided.images, sample(gaussian(linear), "ddpm", num_images=3, steps=5).images)


def test_the_second_network_is_counted_apart_and_not_asked_at_scale_1(model: Model) -> None:
    for scale, second in ((1.0, 0), (2.0, 5)):
        plan = {"guidance": "autoguidance", "guidance_scale": scale, "num_images": 3, "batch_size": 2, "steps": 5}
        cost = sample(model, "ddim", **plan).cost
        assert (cost.nfe, cost.calls_per_image, cost.second_nfe) == (5, 5, second)


def test_outside_of_the_interval_the_second_network_is_not_asked(model: Model) -> None:
    """Count the levels 999, 749, 499 and 249 with sigma/alpha above 1: there are three."""
    plan = {"guidance": "autoguidance", "guidance_scale": 2.0, "guidance_low": 1.0, "num_images": 1, "steps": 4}
    assert sample(model, "ddim", **plan).cost.second_nfe == 3


def test_images_know_nothing_of_each_other(linear: Schedule) -> None:
    means = torch.eye(3)
    both = dataclasses.replace(mixture(linear, means, 0.3), second=mixture(linear, means, 0.6))
    plan = {"guidance": "autoguidance", "guidance_scale": 2.0, "labels": [0, 1, 2], "steps": 5}
    together, apart = (sample(both, "ddpm", batch_size=size, **plan).images for size in (3, 1))
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)  # float32, five steps


def test_a_conditional_pair_is_asked_for_the_same_label(linear: Schedule) -> None:
    means = torch.eye(3, dtype=torch.float64)
    both = dataclasses.replace(mixture(linear, means, 0.3), second=mixture(linear, means, 0.6))
    x, t, condition = torch.ones(2, 3, dtype=torch.float64), linear.at(400), both.condition([2, 0])
    good, bad = both.denoise(x, t, condition).eps, both.second.denoise(x, t, condition).eps
    found = Autoguidance(scale=3.0).guide(both.denoise, condition, both)(x, t).eps
    torch.testing.assert_close(found, good + 2 * (good - bad), rtol=1e-12, atol=1e-12)


def test_without_a_second_model_it_is_refused(linear: Schedule) -> None:
    with pytest.raises(UsageError, match="second, worse model: --guidance-model FOLDER"):
        sample(gaussian(linear), "ddim", guidance="autoguidance", num_images=1)


def test_an_unconditional_model_still_takes_no_labels(model: Model) -> None:
    with pytest.raises(UsageError, match="unconditional"):
        sample(model, "ddim", guidance="autoguidance", labels=[0], steps=1)


# -- models in folders


def worse(folder: Path, to: Path, factor: float = 0.5) -> Path:
    """Copy a model folder with other weights."""
    from safetensors.torch import load_file, save_file

    to.mkdir()
    for path in folder.rglob("*"):
        target = to / path.relative_to(folder)
        target.mkdir(parents=True, exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())
    weights = to / "unet/diffusion_pytorch_model.safetensors"
    save_file({name: factor * tensor for name, tensor in load_file(weights).items()}, weights)
    return to


def test_the_second_model_is_loaded_by_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    second = worse(tiny_model, tmp_path / "worse")
    plan = {"guidance": "autoguidance", "guidance_scale": 2.0, "labels": [0, 1], "steps": 3}
    by_name = sample(load(tiny_model), "ddim", guidance_model=str(second), **plan)
    by_hand = sample(dataclasses.replace(load(tiny_model), second=load(second)), "ddim", **plan)
    assert torch.equal(by_name.images, by_hand.images)
    assert by_name.cost.second_nfe == 3
    assert not torch.equal(by_name.images, sample(load(tiny_model), "ddim", labels=[0, 1], steps=3).images)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("unet/config.json", {"sample_size": 16}, r"makes images \(1, 16, 16\)"),
        ("scheduler/scheduler_config.json", {"beta_end": 0.01}, "another noise schedule"),
        ("samplerzoo.json", {"num_classes": 2, "null_label": 2, "class_counts": [1, 1]}, "2 classes, and .* has 3"),
    ],
)
def test_a_model_of_something_else_is_refused_before_weights_are_read(
    tiny_model: Path, tmp_path: Path, file: str, changes: dict[str, object], reason: str
) -> None:
    second = worse(tiny_model, tmp_path / "worse")
    edit(second / file, **changes)
    with pytest.raises(UsageError, match=reason):
        make_plan(
            Recipe.of("ddim", "autoguidance", {"guidance_model": str(second)}), ModelFolder.open(tiny_model).stub, 1
        )


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (folders.dit, folders.ddpm, r"makes images \(3, 8, 8\), and"),
        (folders.ldm, folders.ddpm, "is of pixels, not of VQModel"),
        (folders.flow, folders.edm, "another noise schedule"),
        (folders.flow, folders.ve, "is of pixels in .0, 1., not of pixels"),
        (folders.flow, folders.consistency, "is a consistency model, or .* is, and not both"),
    ],
)
def test_a_second_model_of_another_family_is_refused(tmp_path: Path, first: Any, second: Any, reason: str) -> None:
    given = Recipe.of("euler-ancestral", "autoguidance", {"guidance_model": str(second(tmp_path / "second"))})
    with pytest.raises(UsageError, match=reason):
        make_plan(given, ModelFolder.open(first(tmp_path / "first")).stub, 1)


def test_a_second_model_that_does_not_name_its_null_label_is_told_how(tmp_path: Path) -> None:
    first = ModelFolder.open(folders.ddpm(tmp_path / "first", classes=11), ReadingOptions(null_label=10)).stub
    second = folders.ddpm(tmp_path / "it's the second", classes=11, seed=1)
    given = Recipe.of("ddim", "autoguidance", {"guidance_model": str(second)})
    with pytest.raises(UsageError, match="if its last label is a null label: echo") as told:
        make_plan(given, first, 1)
    subprocess.run(str(told.value).split("null label: ")[1], shell=True, check=True)
    assert make_plan(given, first, 1).second is not None
    edit(second / "samplerzoo.json", null_label=None, class_names=[f"class {k}" for k in range(11)])
    with pytest.raises(UsageError, match=r'add "null_label": 10 to .*samplerzoo.json') as told:  # and keep the rest
        make_plan(given, first, 1)
    assert "echo" not in str(told.value)


def named(folder: Path, *names: str) -> Path:
    edit(folder / "samplerzoo.json", class_names=list(names))
    return folder


def with_order(folder: Path, order: list[int]) -> None:
    """Move the rows of the class embedding, and leave the null label behind them."""
    from safetensors.torch import load_file, save_file

    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    found = load_file(weights)
    found["class_embedding.weight"] = found["class_embedding.weight"][[*order, 3]].contiguous()
    save_file(found, weights)


@pytest.mark.parametrize("by_hand", [False, True])
def test_classes_of_the_second_model_are_matched_by_name(tiny_model: Path, tmp_path: Path, by_hand: bool) -> None:
    named(tiny_model, "x", "y", "z")
    same, moved = (worse(tiny_model, tmp_path / name) for name in ("same", "moved"))
    with_order(named(moved, "z", "x", "y"), [2, 0, 1])

    def drawn(second: Path) -> torch.Tensor:
        plan = {"guidance": "autoguidance", "guidance_scale": 3.0, "labels": [0, 1, 2, 1], "steps": 3}
        if by_hand:
            return sample(dataclasses.replace(load(tiny_model), second=load(second)), "ddim", **plan).images
        return sample(load(tiny_model), "ddim", guidance_model=str(second), **plan).images

    assert torch.equal(drawn(moved), drawn(same))
    named(moved, "cat", "dog", "cow")
    with pytest.raises(UsageError, match=r"has the classes cat, dog, cow, and .* has x, y, z"):
        drawn(moved)


def test_a_null_label_is_none_of_the_classes_that_are_matched(tiny_model: Path, tmp_path: Path) -> None:
    named(tiny_model, "x", "y", "z")
    moved = worse(tiny_model, tmp_path / "moved", 1.0)
    with_order(named(moved, "z", "x", "y"), [2, 0, 1])
    first = load(tiny_model)
    second, condition, x = as_second(load(moved), first), first.condition([0, 2]), torch.ones(2, 1, 8, 8)
    for asked in (condition, first.unconditional(condition)):
        assert torch.equal(second.net(x, torch.ones(2), asked), first.net(x, torch.ones(2), asked))


def test_an_unconditional_second_model_of_a_conditional_one_is_refused(
    tiny_model: Path, tmp_path: Path, tiny_unet: Any
) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    DDPMPipeline(tiny_unet(), DDPMScheduler(clip_sample=False)).save_pretrained(tmp_path / "plain")
    for first, second in ((tiny_model, tmp_path / "plain"), (tmp_path / "plain", tiny_model)):
        given = Recipe.of("ddim", "autoguidance", {"guidance_model": str(second)})
        with pytest.raises(UsageError, match=r"the second model, .* classes, and .* has .* classes: .* same classes"):
            make_plan(given, ModelFolder.open(first).stub, 1)
