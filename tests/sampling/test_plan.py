"""A plan: names and options become a run, or one line says why not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from samplerzoo_plugins.ddim import DDIM

from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import FLOW
from samplerzoo.core.paths import RectifiedFlow
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.models.load import warn_once
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import conjugate, gaussian


@pytest.mark.parametrize("labels", [np.array([2, 0]), torch.tensor([2, 0]), (2, 0)], ids=["numpy", "torch", "tuple"])
def test_labels_of_any_kind(conditional: Model, labels: object) -> None:
    result = sample(conditional, steps=2, labels=labels)
    assert result.labels == [2, 0]
    assert torch.equal(result.images, sample(conditional, steps=2, labels=[2, 0]).images)


def test_a_plan_has_what_depends_on_the_model(conditional: Model) -> None:
    recipe = Recipe.of("ddim", "cfg", {"eta": 0.5, "guidance_scale": 2.0}, steps=3)
    plan = make_plan(recipe, conditional, 2)
    assert plan.sampler == DDIM(eta=0.5)
    assert plan.guidance is not None
    assert plan.guidance.scale == 2.0
    assert list(plan.labels or []) == [0, 1]
    assert plan.clip == conditional.clip


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"steps": 0}, "steps: .* greater than 0"),
        ({"steps": 2.5}, "steps is a whole number"),
        ({"steps": 1001}, "1001 steps do not fit on the 1000 timesteps"),
        ({"num_images": 0}, "at least 1 image"),
        ({"labels": []}, "at least 1 image"),
        ({"batch_size": 0}, "at least 1 image"),
        ({"labels": [3]}, "class label 3 is out of range.*0 to 2"),
        ({"labels": [-1]}, "class label -1 is out of range"),
        ({"labels": [0, 1], "num_images": 3}, "2 labels for 3 images"),
        ({"labels": "5"}, "class label 5 is out of range"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"clip_x0": "sometimes"}, "clip-x0"),
        ({"timesteps": [5, 6]}, "decrease strictly"),
        ({"spacing": "even"}, "no spacing 'even'"),
        ({"sampler": "dimm"}, r"did you mean ddim\?"),
        ({"sampler": "cfg"}, "--sampler ddim --guidance cfg"),
        ({"etta": 0.5}, r"no option 'etta' \(did you mean eta\?\)"),
        ({"variance": "large"}, "it belongs to: ddpm"),
        ({"sampler": DDIM(), "eta": 1.0}, "into the sampler object itself"),
        ({"guidance_scale": 3.0}, "guidance-scale is an option of a guidance, and there is none: add --guidance"),
        ({"guidance_low": 3.0}, "guidance_low is for a guidance by name"),
        ({"guidance_scale": "a"}, "guidance_scale is a number, not 'a'"),
        ({"guidance_scale": np.nan}, "guidance_scale is a number, not nan"),
        ({"guidance": "cfg", "guidance_scales": 3.0}, "did you mean scale"),
    ],
    ids=str,
)
def test_impossible_requests_say_why(conditional: Model, request_: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sample(conditional, **{"num_images": 1 if "labels" not in request_ else None, **request_})


def test_labels_on_an_unconditional_model_need_a_guidance(linear: Schedule) -> None:
    with pytest.raises(UsageError, match="unconditional"):
        sample(conjugate(linear), labels=[1])
    with pytest.raises(UsageError, match="unconditional"):
        sample(gaussian(linear), labels="balanced")


def test_a_plan_without_the_labels_it_needs(conditional: Model) -> None:
    with pytest.raises(UsageError, match="labels are needed"):
        Plan(conditional, DDIM(), conditional.schedule.grid(1), 2)


@pytest.mark.parametrize(
    ("request_", "noted"),
    [
        ({"sampler": "unipc", "steps": 5}, True),
        ({"sampler": "heun", "steps": 49}, True),
        ({"sampler": "heun", "steps": 50}, False),
        ({"sampler": "ddim", "steps": 5}, False),
        ({"sampler": "unipc", "steps": 5, "spacing": "trailing"}, False),
        ({"sampler": "unipc", "steps": 5, "spacing": "scheduler"}, False),
        ({"sampler": "unipc", "steps": 2}, False),
        ({"sampler": "unipc", "timesteps": [1000, 750, 500, 250, 1]}, False),
    ],
)
def test_a_grid_that_ends_in_a_long_step_is_said_once(
    capsys: pytest.CaptureFixture[str], request_: dict[str, Any], noted: bool
) -> None:
    """The scheduler of a flow visits sigma = 0.001 before 0, and a method that extrapolates strays there."""
    warn_once.cache_clear()
    schedule = RectifiedFlow(own=lambda steps: np.linspace(1.0, 0.001, steps))
    model = gaussian(schedule, parametrization=FLOW)
    for _ in range(2):
        sample(model, num_images=1, **request_)
    assert capsys.readouterr().err.count("--spacing trailing") == noted


def test_a_long_end_is_said_of_each_model_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    warn_once.cache_clear()
    schedule = RectifiedFlow(own=lambda steps: np.linspace(1.0, 0.001, steps))
    for name in ("one", "other"):
        model = dataclasses.replace(gaussian(schedule, parametrization=FLOW), name=name)
        plan = make_plan(Recipe(sampler="unipc", steps=5), model, 1)
        assert capsys.readouterr().err == f"samplerzoo: {plan.warnings[0]}\n"
        assert plan.warnings[0].startswith(f"{name}: the grid of its scheduler ends")


def test_a_grid_of_steps_that_are_alike_is_not_noted(capsys: pytest.CaptureFixture[str]) -> None:
    warn_once.cache_clear()
    for schedule in (RectifiedFlow(own=lambda steps: 1 - np.arange(steps) / steps), RectifiedFlow()):
        sample(gaussian(schedule, parametrization=FLOW), "unipc", steps=5, num_images=1)
    assert not capsys.readouterr().err
