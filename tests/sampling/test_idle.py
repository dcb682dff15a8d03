"""Tests of the note about options that change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import model_validator

from samplerzoo import Field, Guidance, Sampler, UsageError, load
from samplerzoo.cli import main
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.schedule import Schedule
from samplerzoo.sampling.idle import idle_options
from samplerzoo.sampling.plan import make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.testing import gaussian, mixture


def idle(linear: Schedule, **options: Any) -> list[str]:
    """Return what is idle in a run of five steps on a model with classes and channels."""
    model = mixture(linear, torch.tensor([1.0, -1.0, 0.5]).reshape(3, 1, 1, 1).expand(3, 4, 2, 2))
    recipe = Recipe(steps=5, **options)
    plan = make_plan(recipe, model, 3)
    return [name for name, _ in idle_options(plan, recipe.sampler_options, recipe.guidance_options)]


@pytest.mark.parametrize(
    ("name", "options", "without_use"),
    [
        ("heun", {"s_min": 0.05}, ["s_min"]),
        ("heun", {"s_min": 0.05, "s_noise": 1.1}, ["s_min", "s_noise"]),
        ("heun", {"s_churn": 5.0, "s_min": 1.0}, []),
        ("heun", {"s_churn": 5.0, "s_min": 1e-4}, ["s_min"]),
        ("deis", {"solver_order": 1, "variable": "rho"}, ["variable"]),
        ("deis", {"variable": "rho"}, []),
        ("ddim", {"eta": 0.0}, []),
        ("ddim", {"eta": 0.1}, []),
        ("ddpm", {"variance": "small"}, []),
    ],
)
def test_options_of_samplers_that_change_nothing_are_found(
    linear: Schedule, name: str, options: dict[str, Any], without_use: list[str]
) -> None:
    assert idle(linear, sampler=name, sampler_options=options) == without_use


@pytest.mark.parametrize(
    ("name", "options", "without_use"),
    [
        ("cfg", {"scale": 1.0}, []),
        ("cfg", {"scale": 2.0}, []),
        ("cfg", {"scale": 2.0, "rescale": 0.7}, []),
        ("cfg", {"rescale": 0.7}, ["rescale"]),
        ("cfg", {"scale": 2.0, "low": 1e-3}, ["low"]),
        ("cfg", {"scale": 2.0, "low": 1.0}, []),
        ("cfg", {"scale": 2.0, "low": 1.0, "high": 1e3}, ["high"]),
        ("cfg", {"scale": 2.0, "high": 0.0}, ["scale"]),
        ("cfg", {"scale": 2.0, "channels": 3}, []),
        ("cfg", {"scale": 2.0, "channels": 4}, ["channels"]),
        ("classifier", {"scale": 2.0, "temperature": 2.0}, []),
        ("classifier", {"scale": 0.0, "temperature": 2.0}, ["temperature"]),
    ],
)
def test_options_of_guidances_that_change_nothing_are_found(
    linear: Schedule, name: str, options: dict[str, Any], without_use: list[str]
) -> None:
    assert idle(linear, sampler="ddim", guidance=name, guidance_options=options) == without_use


class Refusing(Sampler):
    """Sampler that needs an option, and refuses one value of another."""

    needed: int = Field(description="a number")
    other: int = Field(1, description="another")

    def step(self, x, t, s, denoise, noise):  # type: ignore[no-untyped-def]
        if self.other == 1:
            raise UsageError("not 1")
        return x


def test_an_option_without_which_a_run_is_refused_acts(linear: Schedule) -> None:
    model = gaussian(linear, shape=(1, 2, 2))
    plan = make_plan(Recipe(steps=3, sampler="ddim"), model, 1, sampler=Refusing(needed=3, other=2))
    assert idle_options(plan, ["needed", "other"], []) == []


class Pair(Sampler):
    """Sampler of two options that go together, and of one without use."""

    idle: int = Field(1, description="of no use")
    first: float = Field(0.0, description="first of a pair")
    second: float = Field(0.0, description="second of a pair")

    @model_validator(mode="after")
    def _together(self) -> Pair:
        if self.first and not self.second:
            raise ValueError("first needs second")
        return self

    def step(self, x, t, s, denoise, noise):  # type: ignore[no-untyped-def]
        return denoise(x, t).x0 * (1 + self.first + self.second)


def test_an_option_that_cannot_be_left_out_hides_no_other(linear: Schedule) -> None:
    pair = Pair(idle=2, first=0.5, second=0.5)
    plan = make_plan(Recipe(steps=3, sampler="ddim"), gaussian(linear, shape=(1, 2, 2)), 1, sampler=pair)
    assert [name for name, _ in idle_options(plan, ["idle", "first", "second"], [])] == ["idle"]


class Limited(Guidance):
    """Guidance within a limit on its norm, another scale for one label, and yet another for large images."""

    norm: float = Field(1e9, description="largest norm of the difference")
    of_last: float = Field(1.0, description="factor for the last label")
    of_large: float = Field(1.0, description="factor for images of more than 500 pixels")

    def guide(self, denoise, condition, model):  # type: ignore[no-untyped-def]
        def guided(x, t):  # type: ignore[no-untyped-def]
            c, u = denoise(x, t, condition), denoise(x, t, model.unconditional(condition))
            away = c.x0 - u.x0
            size = away.flatten(1).norm(dim=1).clamp(min=1e-9)
            factor = self.scale * (self.norm / size).clamp(max=1.0)
            factor = factor * torch.where(condition.labels == 9, self.of_last, 1.0)
            factor = factor * (self.of_large if x[0].numel() > 500 else 1.0)
            return u.replace(x0=u.x0 + factor.view(-1, 1, 1, 1) * away)

        return guided


@pytest.mark.parametrize(
    ("options", "labels", "without_use"),
    [
        ({"norm": 3.0}, "balanced", []),
        ({"norm": 500.0}, "balanced", ["norm"]),
        ({"of_last": 0.5}, "balanced", []),
        ({"of_last": 0.5}, "0-8", ["of_last"]),
        ({"of_large": 0.5}, "balanced", []),
    ],
)
def test_rehearsals_have_norms_labels_and_sizes_of_the_run(
    options: dict[str, float], labels: str, without_use: list[str]
) -> None:
    recipe = Recipe(sampler="ddim", steps=5, class_labels=labels)
    plan = make_plan(recipe, load("mnist"), 20, guidance=Limited(scale=3.0, **options))
    assert [name for name, _ in idle_options(plan, [], options)] == without_use


def test_a_run_says_it_before_the_first_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "--sampler", "heun", "--s-min", "0.05", "--steps", "2", "--num-images", "1"]
    assert main([*line, "-o", str(tmp_path / "run")]) == 0
    assert "s_min=0.05 of sampler heun changes nothing in this run" in capsys.readouterr().err


@pytest.mark.parametrize("schedule", [VE(), RectifiedFlow(), VP.from_config({"rescale_betas_zero_snr": True})])
def test_options_are_found_on_paths_of_all_kinds(schedule: Schedule) -> None:
    model = gaussian(schedule, shape=(1, 4, 4), parametrization=SAMPLE)
    for options, without_use in (({"s_min": 0.05}, ["s_min"]), ({"s_churn": 5.0}, [])):
        recipe = Recipe(sampler="heun", steps=5, sampler_options=options)
        found = idle_options(make_plan(recipe, model, 2), options, [])
        assert [name for name, _ in found] == without_use


@pytest.mark.parametrize(("scale", "without_use"), [(2.0, []), (1.0, ["low"])])
def test_a_model_that_is_named_is_not_idle(scale: float, without_use: list[str]) -> None:
    """A rehearsal is on exact models, so that it does not depend on the model that is named."""
    options = {"scale": scale, "model": "mnist", "low": 1.0}
    recipe = Recipe(sampler="ddim", steps=5, guidance="autoguidance", guidance_options=options)
    plan = make_plan(recipe, load("mnist"), 3)
    assert [name for name, _ in idle_options(plan, {}, recipe.guidance_options)] == without_use
